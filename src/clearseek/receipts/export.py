"""The same weights and the same statement, signed in forms that other tools check. Needs the extra `proof`.

- `model-signing` (OpenSSF Model Signing): a signature over the files in RUN/model. It knows elliptic-curve keys but not
  Ed25519, so it has a P-256 key of its own, made on first use beside the other.
- `sigstore`: the receipt's own statement, signed by an identity (an account at an OpenID provider) instead of a key and
  entered in the public log Rekor, which also shows when. Needs the network, and a person or a CI job to sign in.
"""

from __future__ import annotations

import os
from pathlib import Path

from clearseek.errors import CheckFailed, UsageError, UserError
from clearseek.receipts.envelope import read_envelope, read_file
from clearseek.receipts.signing import key_folder, write_key
from clearseek.receipts.verify import verify

KINDS = ("model-signing", "sigstore")
_MISSING = "Exporting needs an extra: run `pip install 'clearseek[proof]'`."


def export_receipt(receipt: Path, kind: str, out: Path) -> str:
    """Write the export of a receipt to a new file `out`; returns a sentence for the person.

    Only a receipt that verifies is exported. Raises UsageError for a kind that does not exist, CheckFailed for a
    receipt that is not in order, UserError where the extra, the weights or the network is missing.
    """
    if kind not in KINDS:
        raise UsageError(f"There is no export `{kind}`; there are {' and '.join(KINDS)}.")
    if out.exists():
        raise UserError(f"{out} exists already; choose another name.")
    verification = verify(receipt)
    if not verification.ok:
        first = verification.failed[0]
        raise CheckFailed(f"The receipt does not verify, at `{first.field}`: {first.said}")
    return _model_signing(receipt, out) if kind == "model-signing" else _sigstore(receipt, out)


def _model_signing(receipt: Path, out: Path) -> str:
    try:
        from model_signing import hashing, signing
    except ImportError:
        raise UserError(_MISSING) from None
    model = receipt.parent / "model"
    if not model.is_dir():
        raise UserError(f"{model} is not there: model-signing signs the files of a model's folder.")
    if out.resolve().is_relative_to(model.resolve()):
        raise UsageError("The signature cannot lie among the files that it signs; write it beside the model's folder.")
    private, public = _elliptic_key()
    aside = out.with_name(f".{out.name}.new")
    try:
        config = signing.Config().use_elliptic_key_signer(private_key=str(private))
        # every file counts: by default it leaves out what looks like git's
        config.set_hashing_config(hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False))
        config.sign(str(model), str(aside))
        os.replace(aside, out)
    except (OSError, ValueError) as error:
        raise UserError(f"The model could not be signed: {error}.") from None
    finally:
        aside.unlink(missing_ok=True)
    return (
        f"{out} signs the files of {model}; "
        f"`model_signing verify key {model} --signature {out} --public_key {public}` checks it."
    )


def _elliptic_key() -> tuple[Path, Path]:
    """The P-256 key for model-signing, made on first use: the files of its private and its public half."""
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec

    private, public = key_folder() / "model-signing.pem", key_folder() / "model-signing.pub"
    if not private.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        secret = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
        write_key(private, secret)
    if not public.exists():
        loaded = pem.load_pem_private_key(private.read_bytes(), None)
        public_pem = loaded.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
        public.write_bytes(public_pem)
    return private, public


def _sigstore(receipt: Path, out: Path) -> str:
    try:
        from sigstore.dsse import Statement
        from sigstore.models import ClientTrustConfig
        from sigstore.oidc import IdentityToken, Issuer, detect_credential
        from sigstore.sign import SigningContext
    except ImportError:
        raise UserError(_MISSING) from None
    payload = read_envelope(read_file(receipt)).payload
    try:
        statement = Statement(payload)
        trust = ClientTrustConfig.production()
        result = detect_credential()  # in a CI job
        token = IdentityToken(result) if result else Issuer(trust.signing_config.get_oidc_url()).identity_token()
        with SigningContext.from_trust_config(trust).signer(token) as signer:
            bundle = signer.sign_dsse(statement)
    except Exception as error:  # sigstore's errors share no class: the network, the log, the identity
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"Sigstore did not sign: {said.rstrip('.')}.") from None
    from clearseek.hub.files import write_aside

    write_aside(out, bundle.to_json().encode())
    return f"{out} holds the receipt's statement, signed through Sigstore and entered in its public log."
