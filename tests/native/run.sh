#!/bin/sh
# Builds the core with tests/native/kernels.c and runs it: run.sh [compiler [flags...]]
#   run.sh gcc -fsanitize=address,undefined -fno-sanitize-recover=all -g
#   run.sh clang -fsanitize=thread -g
#   RUN=qemu-aarch64-static run.sh aarch64-linux-gnu-gcc -static
set -eu
here=$(cd "$(dirname "$0")" && pwd)
core=$here/../../csrc
compiler=${1:-cc}
[ $# -eq 0 ] || shift
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
set -- "$compiler" -std=gnu11 -pthread -Wall -Wno-psabi -Werror -I"$core" -O3 -ffp-contract=fast -fno-math-errno \
    -fno-trapping-math "$@"
# As many at once as there are CPUs: one of them takes half a gigabyte.
cd "$work"
ls "$core"/*.c | xargs -P "$(getconf _NPROCESSORS_ONLN)" -n 1 "$@" -c
"$@" -c "$here/kernels.c" -O1 -o "$work/kernels.o"
"$@" "$work"/*.o* -o "$work/kernels" -lm # .obj for Windows
${RUN:-} "$work/kernels"
