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
set -- "$compiler" -std=gnu11 -pthread -Wall -Wno-psabi -Werror -I"$core" "$@"
for source in "$core"/*.c; do
    "$@" -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math -c "$source" -o "$work/$(basename "$source" .c).o" &
done
"$@" -O1 -c "$here/kernels.c" -o "$work/kernels.o"
wait
"$@" "$work"/*.o -o "$work/kernels" -lm
${RUN:-} "$work/kernels"
