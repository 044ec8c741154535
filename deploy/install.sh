#!/bin/sh
# Installs temwatch beside earlier versions: program, user, folders, unit. Nothing is started, and no file in
# /etc/temwatch is replaced. With a folder wheels beside it (deploy/bundle.sh) it needs no network.
#   install.sh             from a checkout with a wheel in it, or from a bundle
#   install.sh --back V    makes version V, which is still there, the current one again
#   ... --root DIR         below DIR instead of /, for images and tests
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root= back=
while [ $# -gt 0 ]; do
    case $1 in
        --root) root=$(cd "$2" && pwd) && shift 2 ;;
        --back) back=$2 && shift 2 ;;
        *) echo "install.sh: unknown option $1" >&2 && exit 2 ;;
    esac
done
fail() { echo "install.sh: $1" >&2 && exit 1; }
[ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "run it as root"

if [ -n "$back" ]; then
    [ -x "$root/opt/temwatch-$back/bin/temwatch" ] || fail "there is no /opt/temwatch-$back"
    ln -sfn "temwatch-$back" "$root/opt/temwatch"
    echo "version $back is the current one; restart the service: systemctl restart temwatch"
    exit 0
fi

source=$here
[ -f "$source/requirements.lock" ] || source=$(dirname "$here")
files=$here
[ -f "$files/temwatch.service" ] || files=$here/deploy
[ -f "$source/requirements.lock" ] || fail "requirements.lock is missing"
if [ -f "$source/SHA256SUMS" ]; then
    (cd "$source" && sha256sum --quiet --check SHA256SUMS) || fail "the bundle is damaged"
fi
wheel=
for each in "$source"/temwatch-*-py3-none-any.whl; do [ ! -f "$each" ] || wheel=$each; done
[ -n "$wheel" ] || fail "there is no wheel temwatch-*-py3-none-any.whl in $source"
version=$(basename "$wheel") && version=${version#temwatch-} && version=${version%-py3-none-any.whl}

program=$root/opt/temwatch-$version
offline=
[ ! -d "$source/wheels" ] || offline="--no-index --find-links=file://$source/wheels"
mkdir -p "$root/opt"
"${PYTHON:-python3}" -m venv "$program"
# shellcheck disable=SC2086 # two words, or none
"$program/bin/python" -m pip install --quiet --disable-pip-version-check $offline --require-hashes --requirement "$source/requirements.lock"
"$program/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall "$wheel"

mkdir -p "$root/etc/sysusers.d" "$root/etc/tmpfiles.d" "$root/etc/systemd/system"
cp "$files/sysusers.d/temwatch.conf" "$root/etc/sysusers.d/"
cp "$files/tmpfiles.d/temwatch.conf" "$root/etc/tmpfiles.d/"
cp "$files/temwatch.service" "$files/temwatch-outage.service" "$files/temwatch-outage.timer" "$root/etc/systemd/system/"
systemd-sysusers ${root:+--root="$root"}
systemd-tmpfiles --create ${root:+--root="$root"} "$root/etc/tmpfiles.d/temwatch.conf"
[ -f "$root/etc/temwatch/temwatch.toml" ] || cp "$source/config.example.toml" "$root/etc/temwatch/temwatch.toml"
ln -sfn "temwatch-$version" "$root/opt/temwatch"
[ -n "$root" ] || [ ! -d /run/systemd/system ] || systemctl daemon-reload  # where systemd runs
echo "temwatch $version is installed. Next:"
echo "  edit /etc/temwatch/temwatch.toml"
echo "  sudo -u temwatch /opt/temwatch/bin/temwatch check --config /etc/temwatch/temwatch.toml"
echo "  systemctl enable --now temwatch     (after an upgrade: systemctl restart temwatch)"
