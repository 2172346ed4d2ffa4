"""At what size a picture is edited."""

from __future__ import annotations

from overpaint.errors import UserError

MAX_RESOLUTION = 4096


def working_size(
    size: tuple[int, int], *, longer_side: int, multiple: int, least: int
) -> tuple[int, int]:
    """The (width, height) in pixels at which a picture of `size` is edited.

    As in the paper's pipeline the longer side becomes `longer_side`, and both become multiples
    of what the autoencoder halves away. We scale the whole picture to that size where the
    original code cuts its edges off, so that the result lies exactly over the input again.

    Args:
        size: (width, height) of the picture.
        longer_side: the model's native size, or what the user asks for.
        multiple: pixels per latent.
        least: a side may not be shorter, or the U-Net's coarsest level would have no cell.

    Raises:
        UserError: the picture is so narrow that its shorter side would be below `least`.
    """
    longer, shorter = max(size), min(size)
    if shorter * longer_side < longer * least:
        raise UserError(
            f"a picture of {size[0]} x {size[1]} pixels is too narrow to edit: its longer side may "
            f"be at most {longer_side / least:g} times the shorter one; cut it, or raise the "
            "resolution."
        )
    width, height = (round(side * longer_side / longer / multiple) * multiple for side in size)
    return width, height


def check_resolution(resolution: int, *, least: int) -> None:
    """See that a longer side asked for by the user makes sense.

    Raises:
        UserError: it is below `least` or above MAX_RESOLUTION.
    """
    if not least <= resolution <= MAX_RESOLUTION:
        raise UserError(
            f"resolution {resolution} does not work: the longer side must be from {least} to "
            f"{MAX_RESOLUTION} pixels."
        )
