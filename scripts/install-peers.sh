#!/usr/bin/env bash
# Installs what the interop tests and benchmarks run against, on Debian 12: its own packages, the newer ones of Debian 13
# in a folder of the user's cache, and an npm registry in interop/registry. Does nothing where all of it is there.
set -euo pipefail

packages=(
  # NBD: servers, clients, tools
  nbdkit nbdkit-plugin-guestfs libnbd-bin python3-libnbd qemu-utils qemu-system-x86 nbd-client nbd-server fio
  # file systems and partition tables
  dosfstools mtools gdisk fdisk fuse3
  # a Linux in a virtual machine, which mounts disks: the tools and its kernel
  libguestfs-tools linux-image-cloud-amd64
  # certificates and pre-shared keys
  openssl gnutls-bin
  # looking closer
  strace hyperfine
  # the way to Debian 13
  debootstrap
)

# libnbd and qemu of Debian 13 speak extended headers; fio comes with the same libnbd.
trixie_packages=nbdkit,libnbd-bin,python3-libnbd,qemu-utils,fio
trixie=${XDG_CACHE_HOME:-$HOME/.cache}/nbd-peers/trixie

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Networks fail; package managers give up at the first hiccup.
thrice() {
  "$@" || { sleep 5; "$@"; } || { sleep 20; "$@"; }
}

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || true
  [ "$status" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "Installing ${missing[*]}"
  apt=(env DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
  thrice as_root "${apt[@]}" update || echo 'Going on with the package lists that are there' >&2
  thrice as_root "${apt[@]}" install --no-install-recommends "${missing[@]}"
fi

# The stamp says what a complete tree holds.
if [ "$(cat "$trixie/.complete" 2>/dev/null)" != "$trixie_packages" ]; then
  echo "Making a Debian 13 tree in $trixie"
  # From the mirror that this machine takes Debian 12 from.
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
  as_root rm -rf "$trixie" "$trixie.new"
  mkdir -p "$(dirname "$trixie")"
  bootstrap() {
    as_root rm -rf "$trixie.new"
    as_root debootstrap --variant=minbase --include="$trixie_packages" trixie "$trixie.new" "$mirror"
  }
  thrice bootstrap
  as_root rm -rf "$trixie.new/var/cache/apt/archives"
  echo "$trixie_packages" | as_root tee "$trixie.new/.complete" >/dev/null
  as_root mv "$trixie.new" "$trixie"
fi

registry=$(realpath "$(dirname "$0")/../interop/registry")
if ! cmp --silent "$registry/pnpm-lock.yaml" "$registry/node_modules/.pnpm/lock.yaml"; then
  echo "Installing an npm registry in $registry"
  pnpm=$(node -p "require('$registry/../../package.json').packageManager")
  thrice npx --yes "$pnpm" --dir "$registry" install --frozen-lockfile --ignore-scripts
fi
