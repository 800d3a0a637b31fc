#!/bin/sh
# Builds the core with tests/native/kernels.c and runs it: run.sh [compiler [flags...]]
#   run.sh gcc -fsanitize=address,undefined -fno-sanitize-recover=all -g
#   run.sh clang -fsanitize=thread -g
#   RUN=qemu-aarch64-static run.sh aarch64-linux-gnu-gcc -static
set -eu
here=$(dirname "$0")
core=$here/../../csrc
compiler=${1:-cc}
[ $# -eq 0 ] || shift
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
for source in "$core"/*.c "$here"/kernels.c; do
    "$compiler" -std=gnu11 -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math -pthread -Wall -Wno-psabi \
        -Werror -I"$core" "$@" -c "$source" -o "$work/$(basename "$source" .c).o" &
done
wait
"$compiler" -pthread "$@" "$work"/*.o -o "$work/kernels" -lm
${RUN:-} "$work/kernels"
