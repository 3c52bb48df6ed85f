"""The training loop: it learns, it stops, it carries everything on."""

import numpy as np
import pytest

import impl
from impl.optim import SGD, Adam
from impl.training import train

X = np.random.default_rng(0).standard_normal((10, 3))
T = X @ np.array([[1.0], [-2.0], [0.5]])


def regression(*layers):
    nodes = [
        impl.Node("model", impl.Sequential(*layers), ("x",)),
        impl.Node("loss", impl.MSELoss(), ("model", "target")),
    ]
    return impl.Network(("x", "target"), nodes, ("loss",))


def run(network, data=(X, T), optimizer=None, seed=0, **options):
    rng = np.random.default_rng(seed)
    options = {"epochs": 5} | options
    return train(network, network.initial(rng), data, optimizer or SGD(lr=0.1), rng=rng, **options)


def test_it_learns_and_stops_at_the_goal():
    done = run(regression(impl.Linear(3, 1)), epochs=500, goal=1e-10, batch_size=4)
    assert done.reached
    assert done.errors[-1] <= 1e-10 < done.errors[-2]
    np.testing.assert_allclose(done.parameters["model.0.weight"], [[1, -2, 0.5]], atol=1e-4)


def test_an_error_that_equals_the_goal_reaches_it():
    network = regression(impl.Linear(3, 1))
    (first, *_) = run(network).errors
    done = run(network, goal=first)
    assert done.reached
    assert done.errors == (first,)


def test_it_says_when_the_goal_was_not_reached():
    done = run(regression(impl.Linear(3, 1)), epochs=3, goal=1e-10)
    assert not done.reached
    assert len(done.errors) == 3


def test_an_error_that_is_not_finite_stops_it():
    with np.errstate(over="ignore", invalid="ignore"):
        done = run(regression(impl.Linear(3, 1)), optimizer=SGD(lr=1e200), epochs=100, goal=1.0)
    assert not done.reached
    assert len(done.errors) < 10


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_no_step_is_taken_from_an_error_that_is_not_finite(wrong):
    calls, heard = [], []

    class FailsAtFive(impl.Layer):
        def forward(self, parameters, error, **options):
            calls.append(error)
            return impl.Step(np.asarray(wrong if len(calls) == 5 else error), lambda g: impl.Gradients((g,)))

    model, loss = regression(impl.Linear(3, 1)).nodes
    nodes = [model, loss, impl.Node("failing", FailsAtFive(), ("loss",))]
    network = impl.Network(("x", "target"), nodes, ("failing",))
    done = run(network, optimizer=Adam(), batch_size=4, goal=-1.0, callback=lambda *news: heard.append(news[:2]))
    assert not done.reached
    assert len(calls) == 5
    np.testing.assert_equal(done.errors[1:], (wrong,))
    np.testing.assert_equal(heard, list(enumerate(done.errors, start=1)))
    assert done.state["model.0.weight"]["step"] == 4  # steps taken
    assert np.isfinite(done.parameters["model.0.weight"]).all()


def test_the_error_is_the_first_of_several_outputs():
    one = regression(impl.Linear(3, 1))
    several = impl.Network(one.inputs, one.nodes, ("loss", "model"))
    np.testing.assert_equal(run(several).parameters, run(one).parameters)
    with pytest.raises(ValueError, match=r"first output has shape \(10, 1\), wanted \(\), the error"):
        run(impl.Network(one.inputs, one.nodes, ("model", "loss")))


def test_the_error_is_the_mean_over_samples_even_if_the_last_batch_is_small():
    network = regression(impl.Linear(3, 1))
    still = [run(network, optimizer=SGD(lr=0.0), batch_size=size, epochs=1).errors[0] for size in (None, 3, 10, 99)]
    start = network.initial(np.random.default_rng(0))
    wanted = np.mean((X @ start["model.0.weight"].T + start["model.0.bias"] - T) ** 2)
    np.testing.assert_allclose(still, wanted, rtol=1e-12)


def test_no_epoch_leaves_all_as_it_was():
    network = regression(impl.Linear(3, 1))
    done = run(network, epochs=0)
    assert (done.errors, done.reached, done.state) == ((), False, None)
    np.testing.assert_equal(done.parameters, network.initial(np.random.default_rng(0)))


def test_a_batch_may_be_a_single_sample():
    assert run(regression(impl.Linear(3, 1)), epochs=1, batch_size=1).state == {}


def test_the_network_is_told_that_it_trains_and_its_error_sends_back_a_one_of_its_dtype():
    told, sent = [], []

    class Spy(impl.Layer):
        def forward(self, parameters, x, **options):
            def backward(grads):
                sent.append(grads)
                return impl.Gradients((x,))

            told.append(options)
            return impl.Step((np.ones((), x.dtype), x, x), backward)

    rng = np.random.default_rng(0)
    train(Spy(), {}, (X.astype(np.float32),), SGD(), epochs=1, rng=rng)
    assert told == [{"training": True, "noise": rng}]
    assert sent == [(1, None, None)]
    assert sent[0][0].dtype == np.float32


def test_every_sample_is_seen_once_an_epoch_in_another_order():
    seen = []

    class Spy(impl.Identity):
        def forward(self, parameters, x, **options):
            seen.append(x[:, 0].copy())
            return super().forward(parameters, x, **options)

    run(regression(Spy(), impl.Linear(3, 1)), epochs=2, batch_size=4)
    epochs = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    assert [len(batch) for batch in seen] == [4, 4, 2] * 2
    assert not np.array_equal(*epochs)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.sort(X[:, 0]))


def test_buffers_are_carried_on_and_noise_is_drawn():
    done = run(regression(impl.BatchNorm1d(3), impl.Dropout(), impl.Linear(3, 1)), batch_size=5)
    assert done.parameters["model.0.num_batches_tracked"] == 10
    assert done.parameters["model.0.running_mean"].any()


def test_two_trainings_of_half_the_length_are_one():
    network = regression(impl.Linear(3, 1))
    whole = run(network, optimizer=Adam(lr=0.1), epochs=6)
    rng = np.random.default_rng(0)
    half = train(network, network.initial(rng), (X, T), Adam(lr=0.1), epochs=3, rng=rng)
    rest = train(network, half.parameters, (X, T), Adam(lr=0.1), epochs=3, rng=rng, state=half.state)
    assert half.errors + rest.errors == whole.errors


def test_the_callback_hears_of_every_epoch():
    heard = []
    done = run(regression(impl.Linear(3, 1)), callback=lambda *news: heard.append(news))
    assert [(epoch, error) for epoch, error, _ in heard] == list(enumerate(done.errors, start=1))
    assert heard[-1][2]["model.0.weight"] is done.parameters["model.0.weight"]


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ((X, T[:5]), {}, r"shapes \(10, 3\), \(5, 1\), wanted the same number of samples"),
        ((X[:0], T[:0]), {}, r"shapes \(0, 3\), \(0, 1\), wanted the same number of samples, at least 1"),
        ((), {}, "wanted the same number of samples"),
        ((X, np.zeros(())), {}, "wanted the same number of samples"),
        ((X, T), {"batch_size": 0}, "batch_size is 0, wanted at least 1"),
        ((X, T), {"epochs": -1}, "epochs is -1, wanted 0 or more"),
        ((X,), {}, "Network: got 1 inputs, wanted 2"),
    ],
)
def test_wrong_data_is_named(data, options, message):
    with pytest.raises(ValueError, match=message):
        run(regression(impl.Linear(3, 1)), data, **options)


def test_a_network_without_a_loss_is_refused():
    with pytest.raises(ValueError, match=r"the network's first output has shape \(10, 1\), wanted \(\), the error"):
        run(impl.Sequential(impl.Linear(3, 1)), (X,))
