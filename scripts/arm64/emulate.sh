#!/usr/bin/env bash
# Runs localmix and its tests as an arm64 machine would, in an emulator. See README.md beside it.
set -euo pipefail

usage="usage: emulate.sh [--cpu max|neoverse-n1|cortex-a72] [--folder FOLDER] short|long|-- COMMAND..."
cpu=max
folder=${TMPDIR:-/tmp}/localmix-arm64
while [ $# -gt 0 ]; do
    case $1 in
        --cpu) cpu=${2:?$usage} && shift 2 ;;
        --folder) folder=${2:?$usage} && shift 2 ;;
        *) break ;;
    esac
done
form=${1:?$usage}
case $form in
    short | long) ;;
    --) shift ;;
    *) echo "$usage" >&2 && exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { echo "error: another system's root is made and entered by root only" >&2; exit 1; }

checkout=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
root=$folder/root host=$folder/host

say() { echo "arm64: $*" >&2; }

# What the tests need beside what localmix needs; tests that need more are not run here.
test_packages=(pytest hypothesis trustme pexpect pyte)
run_packages() { # of pyproject.toml
    python3 - "$checkout/pyproject.toml" <<'PYTHON'
import sys, tomllib
print(*tomllib.load(open(sys.argv[1], "rb"))["project"]["dependencies"], sep="\n")
PYTHON
}

install_tools() {
    local missing=()
    command -v qemu-aarch64-static >/dev/null || missing+=(qemu-user-static)
    command -v debootstrap >/dev/null || missing+=(debootstrap)
    python3 -c 'import ensurepip, tomllib' 2>/dev/null || missing+=(python3-venv)
    command -v git >/dev/null || missing+=(git)
    [ ${#missing[@]} = 0 ] && return
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "${missing[@]}" >/dev/null
}

# The kernel then starts programs for arm64 through the emulator.
register_emulator() {
    local formats=/proc/sys/fs/binfmt_misc
    [ -e $formats/register ] || mount -t binfmt_misc binfmt_misc $formats
    [ -e $formats/qemu-aarch64 ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf >$formats/register
}

make_root() {
    [ -e "$root/.complete" ] && return
    say "making a root of Debian for arm64 in $root"
    rm -rf "$root"
    debootstrap --foreign --arch=arm64 --variant=minbase --include=python3 bookworm "$root" >"$folder/debootstrap.log"
    chroot "$root" /debootstrap/debootstrap --second-stage >>"$folder/debootstrap.log"
    touch "$root/.complete"
}

# The same Numba and LLVM on both sides: kernels made here are those that would be made there.
install_packages() {
    local wanted
    wanted=$(printf '%s\n' "$(run_packages)" "${test_packages[@]}")
    [ -e "$folder/packages" ] && [ "$wanted" = "$(cat "$folder/packages")" ] && return
    say "installing packages"
    rm -rf "$host" "$root/opt/packages"
    python3 -m venv "$host"
    printf '%s\n' "$wanted" | xargs -d '\n' "$host/bin/pip" install -q
    "$host/bin/pip" freeze | grep -E '^(numba|llvmlite|numpy)==' >"$folder/same"
    printf '%s\n' "$wanted" | xargs -d '\n' "$host/bin/pip" install -q --target "$root/opt/packages" \
        --only-binary :all: --implementation cp --python-version "$(python_there)" \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
        --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 -c "$folder/same"
    printf '%s\n' "$wanted" >"$folder/packages"
}

python_there() { there python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

copy_checkout() {
    rm -rf "$root/src" "$root/tmp"
    mkdir -p "$root/src" "$root/tmp"
    chmod 1777 "$root/tmp"
    (cd "$checkout" && git ls-files -z --cached --others --exclude-standard |
        tar --create --null --ignore-failed-read --files-from - 2>/dev/null) | tar --extract --no-same-owner -C "$root/src"
}

# Mounts belong to a namespace that ends with the command, so none is left behind.
there() {
    ROOT=$root unshare --mount bash -c '
        mount -t proc proc "$ROOT/proc" && mount --bind /dev "$ROOT/dev"
        export QEMU_CPU='"$cpu"'
        exec chroot "$ROOT" /usr/bin/env -i QEMU_CPU=$QEMU_CPU HOME=/root LANG=C.UTF-8 TERM=dumb \
            PATH=/usr/bin:/bin PYTHONPATH=/src:/opt/packages LOCALMIX_HOME=/root/localmix \
            LOCALMIX_CACHE=/root/cache LOCALMIX_TEST_KERNELS=/root/cache \
            sh -c '\''cd /src 2>/dev/null; exec "$@"'\'' there "$@"' there "$@"
}

# Compiling takes far longer in the emulator, and makes the same code: same_code.py.
make_kernels() {
    local at tier processor features triple names processes=()
    say "making kernels for $cpu"
    there python3 scripts/arm64/kernels.py >"$folder/missing"
    while read -r at tier processor features triple names; do
        mkdir -p "$root$at"
        # shellcheck disable=SC2086 # names are words
        PYTHONPATH=$checkout "$host/bin/python" -m localmix.kernels.build \
            "$root$at" "$tier" "${processor#=}" "$features" "$triple" $names >/dev/null &
        processes+=($!)
    done <"$folder/missing"
    for process in "${processes[@]}"; do wait "$process"; done
}

install_tools
register_emulator
make_root
install_packages
copy_checkout

products=(tests/kernels/test_{matmul,activations,attention,experts}.py)
case $form in
    short)
        make_kernels
        there python3 scripts/arm64/tiny.py
        there python3 -m pytest -rfE -m 'not slow' tests/quant tests/golden tests/execute/test_{native,tape,team}.py \
            tests/execute/test_formulas.py "${products[@]}"
        ;;
    long)
        make_kernels
        there python3 scripts/arm64/same_code.py
        there python3 scripts/arm64/tiny.py
        there python3 -m pytest -rfE tests/quant tests/kernels tests/execute tests/golden tests/engine
        ;;
    --) there "$@" ;;
esac
