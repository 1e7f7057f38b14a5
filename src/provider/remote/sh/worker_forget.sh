
main() {
    rm -f "$folder/bootstrap-kubeconfig"
}
