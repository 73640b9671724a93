#!/usr/bin/env bash
# Builds and runs the three applications of this folder.
#   run.sh SOURCE [BUILD]
# SOURCE is ndloss's source tree, BUILD a finished build of it; without BUILD it is built here.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}

say() { printf '\n== %s\n' "$*"; }

if [[ $# -ge 2 ]]; then
  build=$(cd "$2" && pwd)
else
  build=$work/build
  cmake -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Release
  cmake --build "$build"
fi
say "install"
cmake --install "$build" --prefix "$work/installed"
# Moved, so that nothing leans on the place it was installed to.
mv "$work/installed" "$work/prefix"

say "find_package"
cmake -S "$here/find_package" -B "$work/find_package" -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$work/prefix"
cmake --build "$work/find_package"
"$work/find_package/consumer"

say "pkg-config"
mkdir "$work/pkg_config"
pc=$(dirname "$(find "$work/prefix" -name ndloss.pc)")
PKG_CONFIG_PATH=$pc make -C "$here/pkg_config" OUT="$work/pkg_config"
LD_LIBRARY_PATH="$(dirname "$pc")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$work/pkg_config/consumer"

# Shared here, because the installed library is static. Warnings are errors, as in .ci/run's builds, whose kernels ccache has.
say "add_subdirectory"
cmake -S "$here/add_subdirectory" -B "$work/add_subdirectory" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
  -DNDLOSS_SOURCE_DIR="$source" -DNDLOSS_WERROR=ON
cmake --build "$work/add_subdirectory"
"$work/add_subdirectory/consumer"

say "all three consumers are right"
