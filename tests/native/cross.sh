#!/bin/sh
# Compiles and links the core with tests/native/kernels.c for every system that gets a wheel, by zig's Clang, without a
# warning, and runs what this machine can run: cross.sh [target...]
set -eu
here=$(dirname "$0")
[ $# -gt 0 ] || set -- x86_64-linux-musl aarch64-linux-gnu x86_64-macos aarch64-macos x86_64-windows-gnu
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
printf '#!/bin/sh\nexec %s cc "$@"\n' "${ZIG:-python3 -m ziglang}" > "$work/zig"
chmod +x "$work/zig"

for target in "$@"; do
    optimize=-O0
    case $target in
    "$(uname -m)"-linux-*) runner=env optimize=-O1 ;;
    *-windows-*) runner=$(command -v wine64 || command -v wine || echo true) ;;
    *) runner=true ;;
    esac
    # zig adds a sanitizer to what is not optimized.
    RUN=$runner sh "$here/run.sh" "$work/zig" -target "$target" "$optimize" -fno-sanitize=undefined
    [ "$runner" != true ] || echo "$target: compiled and linked, not run here"
done
