#!/bin/sh
# Everything that install.sh needs on a machine without a network, in one folder: bundle.sh LOCK WHEEL FOLDER
# It downloads for the system and Python that run it: make the bundle on a machine of the same kind.
set -eu
lock=$1 wheel=$2 folder=$3
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder/wheels" "$folder/deploy"
"${PYTHON:-python3}" -m pip download --quiet --require-hashes --requirement "$lock" --dest "$folder/wheels"
cp "$lock" "$folder/requirements.lock"
cp "$wheel" "$here/../config.example.toml" "$folder/"
cp -R "$here/." "$folder/deploy/"
cp "$here/install.sh" "$folder/"
(cd "$folder" && find . -type f ! -name SHA256SUMS -exec sha256sum {} + > SHA256SUMS)
