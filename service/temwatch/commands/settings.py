"""`temwatch settings`: what a sample is analysed and shown with, over what is configured."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from temwatch import setting_keys
from temwatch.commands.caller import author, config_of
from temwatch.commands.send_request import ask_service
from temwatch.commands.terminal import known_sample
from temwatch.config import Config
from temwatch.errors import UsageError
from temwatch.ledger import Reader, is_held, sample_settings
from temwatch.names import plural, printable


def run(arguments: argparse.Namespace) -> int:
    """Set and unset; without either, print every setting of the sample and where it comes from.

    Raises
    ------
    UsageError
        A key or a value is not one of the list: nothing has changed.
    """
    values = setting_keys.check(_values(arguments))
    config = config_of(arguments)
    with Reader(config.output.state) as reader:
        sample = known_sample(reader, arguments.sample)
        if not values:
            for line in _lines(reader, config, sample):
                print(printable(line))  # noqa: T201
            return 0
    done = ask_service(config, "settings", sample=sample, values=values, **author(arguments))
    if "refused" in done:
        raise UsageError(printable(done["refused"]))
    measured = "are being measured again" if is_held(config.output.state) else "measured again"
    what = "settings changed" if done["changes"] else "already so"
    print(f"{what}; {plural(done['micrographs'], 'micrograph')} {measured}")  # noqa: T201
    return 0


def _values(arguments: argparse.Namespace) -> dict[str, str | None]:
    values: dict[str, str | None] = {}
    for word in arguments.settings:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"{printable(word)}: write KEY=VALUE, for example separation.min_diameter_nm=5")
        values[key.strip()] = value.strip()
    for key in arguments.unset:
        if key in values:
            raise UsageError(f"{printable(key)}: either set or unset it")
        values[key] = None
    return values


def _lines(reader: Reader, config: Config, sample: str) -> Iterator[str]:
    """Every key with its value and who has set it."""
    own = sample_settings.settings_of(reader, sample)
    width = max(map(len, setting_keys.KEYS))
    for key in setting_keys.KEYS:
        if key in own:
            one = own[key]
            when = one.made_at.astimezone().strftime("%Y-%m-%d %H:%M")
            yield f"{key:<{width}}  {_text(one.value)}  set by {one.made_by}, {when} (change {one.change})"
        elif (other := setting_keys.INSTEAD.get(key)) in own:
            yield f"{key:<{width}}  -  {other} counts instead"
        else:
            value = setting_keys.configured(config, key)
            yield f"{key:<{width}}  {'-' if value is None else f'{_text(value)}  configuration'}"


def _text(value: setting_keys.SettingValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else f"{value:g}"
