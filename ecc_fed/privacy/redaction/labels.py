"""What a token classifier calls its labels, by our classes, and what their prefixes say of where a value begins.

The names are those of published sets and models: CLUENER and gyr66/privacy_detection (name, address, mobile, QQ, vx),
ai4privacy's sets and OpenMed's privacy-filter-multilingual (FIRSTNAME, BUILDINGNUMBER, CREDITCARD), OpenAI's
privacy-filter (private_person, account_number), CoNLL 2003 and OntoNotes (PER, LOC, GPE). Organisations, dates, titles
and the like are no customer's secret and have no class; `redaction.labels` gives them one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecc_fed.core.errors import ModelError
from ecc_fed.privacy.redaction.engines import check_class

_NAMES = {
    "name": (
        "per pers person personname privateperson name fullname firstname lastname middlename givenname surname "
        "familyname nickname"
    ),
    "phone": (
        "phone phonenumber phonenum telephone telephonenumber telephonenum tel mobile mobilephone cell privatephone"
    ),
    "address": (
        "address addr privateaddress streetaddress street streetname buildingnumber buildingnum secondaryaddress "
        "secaddress zipcode zip postcode postalcode city county state loc location gpe"
    ),
    "email": "email emailaddress privateemail mail",
    "account": (
        "account accountname accountnumber accountnum accountid userid qq vx wx wechat weixin personalhandle handle "
        "socialmedia password pass passwd pin secret apikey bitcoinaddress ethereumaddress litecoinaddress crypto"
    ),
    "id_card": (
        "id idcard idcardnum idcardnumber idnum idnumber nationalid governmentid ssn socialnum socialnumber "
        "socialsecuritynumber passport passportnum passportnumber driverlicense driverlicensenum driverlicensenumber "
        "taxnum taxnumber taxid"
    ),
    "bank_card": (
        "creditcard creditcardnumber creditdebitcard debitcard card cardnumber cardnum bankcard bankaccount "
        "bankaccountnumber iban cvv creditcardcvv"
    ),
    "order": "order ordernumber ordernum orderid orderno",
    "parcel": "parcel parcelnumber tracking trackingnumber trackingid waybill expressnumber",
    "number": (
        "number maskednumber ip ipv4 ipv6 ipaddress mac macaddress imei phoneimei vin vehiclevin vehiclevrm "
        "licenseplate plate"
    ),
}
CLASSES: Mapping[str, str] = {name: kind for kind, names in _NAMES.items() for name in names.split()}
# BIO, BIOES, BMES and BILOU, each with "-" or "_" behind it.
_PREFIXES = "BIESLUM"
_BEGINS, _ENDS = "BSU", "ESLU"


@dataclass(frozen=True, slots=True)
class Tag:
    """One label: its class, None for none, and whether a value begins or ends with a token that has it."""

    kind: str | None
    begins: bool = False
    ends: bool = False


def folded(label: str) -> str:
    """A label without what names are written with: `Phone_Number` and `PHONENUMBER` are one."""
    return "".join(filter(str.isalnum, label.casefold()))


def tag_of(label: str, classes: Mapping[str, str]) -> Tag:
    """What a label says.

    Args:
        label: as in `id2label`: `O`, `B-PHONE`, `E_private_person`, `name`.
        classes: by folded name.
    """
    prefix, rest = label[:1].upper(), label[2:]
    if len(label) > 2 and label[1] in "-_" and prefix in _PREFIXES and folded(rest):
        return Tag(classes.get(folded(rest)), prefix in _BEGINS, prefix in _ENDS)
    return Tag(classes.get(folded(label)))


def read_tags(path: str, labels: Mapping[str, str | None]) -> tuple[Tag, ...]:
    """The tags of a model folder's labels, in the order of its outputs; nothing but `config.json` is read.

    Args:
        path: the folder.
        labels: a class, or None for none, by names of labels without prefix; they come before the table here.

    Raises:
        ConfigError: a class that there is none of.
        ModelError: no such folder, a model without a head that labels tokens, a name in `labels` that it has no label
            of, or labels none of which is a class.
    """
    for label, kind in labels.items():
        if kind is not None:
            check_class(f"redaction.labels.{label}", kind)
    named = _labels(path)
    known = {folded(label) for label in named} | {folded(label[2:]) for label in named if len(label) > 2}
    for label in labels:
        if folded(label) not in known:
            raise _refusal(path, f"has no label {label}", f"in redaction.labels name some of {_some(named)}")
    own = {folded(label): kind for label, kind in labels.items()}
    classes = {name: kind for name, kind in {**CLASSES, **own}.items() if kind is not None}
    tags = tuple(tag_of(label, classes) for label in named)
    if not any(tag.kind for tag in tags):
        raise _refusal(
            path,
            f"has labels that say nothing of private values: {_some(named)}",
            "give their classes, such as 'redaction.labels={PER: name}', or take another model",
        )
    return tags


def _labels(path: str) -> Sequence[str]:
    file = Path(path).expanduser() / "config.json"
    if not path.strip() or not file.parent.is_dir():
        raise _refusal(repr(path), "is no folder", "give redaction.path=FOLDER, a token classifier as saved")
    try:
        config: Any = json.loads(file.read_text(encoding="utf-8"))
        named = {int(number): str(label) for number, label in config.get("id2label", {}).items()}
        heads = [str(head) for head in config.get("architectures") or ()]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise _refusal(path, f"has no readable config.json ({error})", "copy the model again") from error
    if not any(head.endswith("ForTokenClassification") for head in heads):
        raise _refusal(
            path,
            f"is {' and '.join(heads) or 'a model of no named kind'}, which labels no tokens",
            "give a model that was saved as …ForTokenClassification",
        )
    if sorted(named) != list(range(len(named))) or not named:
        raise _refusal(path, "has no id2label that names every output in its config.json", "copy the model again")
    return [named[number] for number in range(len(named))]


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:12]) + (", …" if len(labels) > 12 else "")


def _refusal(path: str, reason: str, remedy: str) -> ModelError:
    return ModelError(f"the redaction model {path} {reason}: {remedy}.")
