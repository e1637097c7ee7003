"""Which architecture a folder is read as."""

from __future__ import annotations

import pytest

from cherche_models.errors import CheckpointError
from cherche_models.layouts.request import Request
from cherche_models.models import ARCHITECTURES, ColBERT, Joint


def test_what_the_folder_holds_unless_another_is_forced() -> None:
    assert Request(known=ARCHITECTURES).choose("joint", (), "folder") is Joint
    assert Request(ColBERT, ARCHITECTURES).choose("joint", ("splade", "colbert"), "folder") is ColBERT


def test_a_forced_architecture_that_the_folder_cannot_give_lists_the_possible_ones() -> None:
    with pytest.raises(CheckpointError, match="folder holds a splade model and cannot be loaded as colbert") as caught:
        Request(ColBERT, ARCHITECTURES).choose("splade", ("splade", "joint"), "folder")
    assert caught.value.next_step == "leave the architecture out, or use one of: splade, joint"


def test_a_table_of_query_weights_is_never_random() -> None:
    assert Request(known=ARCHITECTURES).from_scratch() == ["splade", "sparse_embed", "colbert", "joint"]


def test_a_random_projection_has_to_be_requested() -> None:
    Request(new_head=True).require_new_head("folder")
    with pytest.raises(CheckpointError, match="load it with new_head=True"):
        Request().require_new_head("folder")
