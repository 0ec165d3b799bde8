"""The builder: typed arguments, and plain classes under the names of the contract."""

import pytest
from pydantic import ValidationError

from deployments.app import BuildArgs, build
from deployments.choice import Choice
from deployments.ecg_fm import Ask, EcgFm, count_segments
from deployments.preprocessor import Preprocessor


def deployments_of(application):
    """Names and options, the ingress first."""
    node = application._bound_deployment
    return [
        node,
        *(each._bound_deployment for each in node.init_args if hasattr(each, "_bound_deployment")),
    ]


def test_the_graph_has_the_names_of_the_contract():
    ingress, model = deployments_of(build(BuildArgs(demo=True)))
    assert (ingress.name, model.name) == ("Preprocessor", "EcgFm")
    assert issubclass(ingress.func_or_class, Preprocessor)
    assert model.func_or_class is EcgFm


def test_mono_is_one_deployment():
    assert [each.name for each in deployments_of(build(BuildArgs(profile="mono")))] == [
        "Preprocessor"
    ]


def test_both_scale_and_the_ingress_pushes_back():
    args = BuildArgs(model_max_replicas=3, preprocessor_max_replicas=5, max_queued_requests=9)
    ingress, model = deployments_of(build(args))
    assert ingress._deployment_config.autoscaling_config.max_replicas == 5
    assert model._deployment_config.autoscaling_config.max_replicas == 3
    assert model._deployment_config.max_queued_requests == 9
    assert ingress._deployment_config.max_ongoing_requests > args.max_ongoing_requests
    # Ray's default of 5 would cap the batches.
    assert model._deployment_config.max_ongoing_requests >= 4 * args.max_batch_segments


@pytest.mark.parametrize("profile", ["graph", "mono"])
def test_gpus_go_to_whoever_runs_the_model(profile):
    *ingress, model = deployments_of(build(BuildArgs(profile=profile, model_gpus=0.5)))
    assert model._replica_config.ray_actor_options["num_gpus"] == 0.5
    assert all(not each._replica_config.ray_actor_options.get("num_gpus") for each in ingress)


def test_arguments_come_as_text_from_the_command_line():
    args = BuildArgs.model_validate({"demo": "true", "max_batch_segments": "8"})
    assert (args.model, args.max_batch_segments) == ("demo", 8)


@pytest.mark.parametrize(
    "given", [{"batch": "8"}, {"profile": "many"}, {"demo": "true", "model": "/somewhere"}]
)
def test_unknown_or_contradicting_arguments_are_refused(given):
    with pytest.raises(ValidationError):
        BuildArgs.model_validate(given)


def test_serve_run_finds_the_application():
    import serve_app

    assert deployments_of(serve_app.app)[0].name == "Preprocessor"
    with pytest.raises(AttributeError):
        _ = serve_app.nothing


def test_batches_are_counted_in_segments():
    assert count_segments([Ask([0] * 3), Ask([0], "demo"), Ask([])]) == 4


def test_a_choice_holds_for_the_model_that_it_replaced():
    def key(**given):
        return Choice(BuildArgs(**given))._key

    assert key(model="/models/a", model_max_replicas=8) == key(model="/models/a")
    assert len({key(), key(model="/models/a"), key(model_revision="f" * 7)}) == 3
