"""What the text model sees of a task: the same everywhere, whatever people write."""

import numpy as np
import pytest
from tests.builders import a_task

from hopper.domain.task import Tags
from hopper.routing.features import BUCKETS, bucket, features, fingerprint, wording


def buckets(title: str, description: str | None = None, tags: Tags | None = None) -> set[int]:
    return {int(at) for group in features(title, description, tags or {}) for at in group.buckets}


def test_the_same_text_has_the_same_features_on_every_machine() -> None:
    """A model that one server has stored would mean something else on another one, or after a restart."""
    assert (bucket("brakes"), fingerprint("brakes"), fingerprint("tag área=ö")) == (47006, 1634908062, 322441438)
    [one, *_], [same, *_] = (features("Brakes squeak", "on the van", {"a": True}) for _ in range(2))
    assert (one.buckets == same.buckets).all() and (one.frequencies == same.frequencies).all()


def test_case_and_punctuation_make_no_difference() -> None:
    """Whoever shouts would be sent elsewhere."""
    assert buckets("BRAKES, squeak!") == buckets("brakes squeak") == buckets("“Brakes” squeak…")


def test_words_mean_the_same_in_title_and_description() -> None:
    """What was learned of titles would be of no use for descriptions."""
    assert bucket("brakes") in buckets("brakes") & buckets("x", "brakes")
    assert bucket("head brakes") in buckets("x", "brakes") - buckets("brakes")
    assert bucket("head brakes") not in buckets("x", "y " * 200 + "brakes")  # below its first lines


def test_names_of_things_keep_their_signs() -> None:
    """`c++` and `c#` would be one language."""
    assert bucket("c++") in buckets("c++ or c#")
    assert bucket("c#") in buckets("c++ or c#")


def test_a_tag_counts_by_its_name_and_with_its_value() -> None:
    """A tag's value would say nothing, or a new value would hide the tag."""
    assert {bucket("tag team"), bucket("tag team=red")} <= buckets("x", tags={"Team": "Red"})
    assert buckets("x", tags={"Team": True}) - buckets("x") == {bucket("tag team")}
    assert bucket("team") not in buckets("x", tags={"team": True})


def test_each_kind_of_feature_counts_the_same() -> None:
    """A long description would drown the title, or a dozen tags both."""
    assert len(features("brakes", "squeak " * 50, {"x": True})) == 5
    assert len(features("brakes", None, {})) == len(features("brakes", "", {})) == 2
    assert features("", None, {}) == features("!?", " ", {}) == ()


def test_what_is_said_often_counts_more_but_not_by_its_number() -> None:
    """A stuttering log would consist of one word."""
    _, _, words, _ = features("x", "brakes squeak " + "brakes " * 98, {})
    of = dict(zip(words.buckets.tolist(), words.frequencies.tolist(), strict=True))
    assert of[bucket("brakes")] == pytest.approx(1 + np.log(99))
    assert of[bucket("squeak")] == 1


def test_the_wording_is_what_stands_at_the_beginning() -> None:
    """A person would be shown numbers instead of words, or a page of them."""
    task = a_task("Brakes squeak", description="z " * 200 + "hidden", tags={"Van": "Old"})
    read = wording(task.title, task.description, task.tags)
    assert set(read) == {"brakes", "squeak", "brakes squeak", "z", "z z", "tag van", "tag van=old"}
    assert all(0 <= at < BUCKETS for places in read.values() for at in places)
    assert {at for places in read.values() for at in places[:1]} <= buckets(task.title, task.description, task.tags)


@pytest.mark.parametrize("script", ["тормоза скрипят", "φρένα τρίζουν", "刹车 作响", "الفرامل تصر", "ब्रेक आवाज़"])
def test_every_script_has_words(script: str) -> None:
    """Hopper would learn from those only who write in Latin letters."""
    first, second = script.split()
    assert bucket(first) in buckets(script)
    assert bucket(f"{first} {second}") in buckets(script)


def test_an_accent_is_the_same_however_it_is_written() -> None:
    """What is typed on one system would be another word than the same from another system."""
    assert buckets("cafe\u0301 de\u0301ja\u0300") == buckets("caf\u00e9 d\u00e9j\u00e0")
