"""Class names that a backbone has seen: certain, doubtful, and none."""

from __future__ import annotations

import pytest

from gzsl_bench.data.exposure import among_imagenet, plain, sentence, spoken


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("001.Black_footed_Albatross", "black footed albatross"),
        ("persian+cat", "persian cat"),
        ("Chuck-will's-widow", "chuck will widow"),
        ("Sea Lions", "sea lion"),
        ("glass", "glass"),
    ],
)
def test_names_are_compared_by_their_words(name: str, words: str) -> None:
    assert " ".join(plain(name)) == words


def test_a_name_is_said_without_number_and_signs() -> None:
    assert spoken("001.Black_footed_Albatross") == "Black footed Albatross"
    assert spoken("7 chuck-will's-widow") == "chuck will's widow"


def test_what_is_certain_doubtful_and_unknown() -> None:
    found = among_imagenet(
        ["german+shepherd", "Dalmatians", "mouse", "sheep", "Laysan_Albatross", "okapi", "phlox"]
    )
    assert found.sure == (
        ("german+shepherd", "German shepherd dog"),
        ("Dalmatians", "coach dog"),
        ("mouse", "computer mouse"),  # whoever reads it sees that this is another one
    )
    assert found.doubtful == (("sheep", "bighorn sheep"), ("Laysan_Albatross", "albatross"))
    assert found.names == {"german+shepherd", "Dalmatians", "mouse", "sheep", "Laysan_Albatross"}


def test_every_class_of_imagenet_is_found_by_each_of_its_names() -> None:
    from gzsl_bench.data import exposure

    lines = exposure._LIST.read_text(encoding="utf-8").splitlines()
    names = [n for line in lines if line[0] != "#" for n in line.split(" ", 1)[1].split(", ")]
    assert sum(line[0] != "#" for line in lines) == 1000
    assert len(among_imagenet(names).sure) == len(names) > 1800


@pytest.mark.parametrize(
    ("unseen", "trained_on", "said"),
    [
        (["okapi", "tiger"], "imagenet-1k", "1 of 2 unseen classes were seen by the backbone"),
        (["okapi", "tiger", "sheep"], "imagenet-1k", "; 1 more may have been: sheep (bighorn"),
        (["sheep"], "imagenet-1k", "1 of 1 unseen classes may have been seen by the backbone"),
        (["okapi"], "imagenet-1k", "no unseen class is a class of imagenet-1k by its name"),
        (["tiger"], "ImageNet-1k", "1 of 1 unseen classes were seen by the backbone"),
        (None, "imagenet-1k", "class names are needed to compare"),
        (["okapi"], "unknown", "what the backbone was trained on is not known"),
        (["okapi"], "pairs (laion)", "trained on pairs (laion); unseen classes may be among"),
    ],
)
def test_what_stands_under_a_table(unseen: list[str] | None, trained_on: str, said: str) -> None:
    assert said in sentence(unseen, trained_on)
