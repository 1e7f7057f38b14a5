
main() {
    mkdir -p "$folder"
    write "$mode" "$file" "$content"
}
