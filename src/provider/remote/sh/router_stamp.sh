
main() {
    put 0644 "$file" "$content"
}
