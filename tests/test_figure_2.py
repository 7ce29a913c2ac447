"""Figure 2: its network, its step, its script on tiny data, and the numbers of its page."""

import importlib
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PAPER = ROOT / "examples" / "paper"
RESULTS = PAPER / "results" / "figure_2.json"
MODULES = [
    "cifar10",
    "resnet",
    "training",
    "erasure",
    "figure_2_report",
    "figure_2_models",
    "figure_2",
]

torch = pytest.importorskip("torch", reason='pip install "sklearn-ssse[torch]"')


@pytest.fixture
def paper(monkeypatch):
    """Import the modules of the folder; forget them afterwards."""
    monkeypatch.syspath_prepend(str(PAPER))
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more threads than free cores are many times slower here
    yield {name: importlib.import_module(name) for name in MODULES}
    torch.set_num_threads(n_threads)
    for name in MODULES:
        sys.modules.pop(name, None)


def write_batches(folder):
    """Write the original files of CIFAR-10 with random pixels and ten rows of each class."""
    rng = np.random.default_rng(0)
    labels = list(np.repeat(np.arange(10), 10))
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        images = rng.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({b"data": images, b"labels": labels}))


@pytest.fixture
def module_and_rows(paper, request):
    """A network with running statistics of its own and five rows, in float32."""
    torch.manual_seed(0)
    module = paper["resnet"].ResNet20(request.param)
    X = torch.randn(5, 3, 8, 8)
    module(X)
    return module.eval(), X, torch.arange(5)


def test_number_of_parameters(paper):
    for norm in ["batch", "group"]:
        module = paper["resnet"].ResNet20(norm)
        n_parameters = sum(p.numel() for p in module.parameters())
        assert n_parameters == paper["resnet"].N_PARAMETERS
    with pytest.raises(ValueError, match="must be"):
        paper["resnet"].ResNet20("layer")


@pytest.mark.parametrize("module_and_rows", ["batch", "group"], indirect=True)
def test_gradient_rows_equal_one_backward_pass_a_row(paper, module_and_rows):
    module, X, y = module_and_rows
    rows = paper["erasure"].gradient_rows(module, X, y, "empirical_fisher", chunk_size=2)
    for i in range(len(X)):
        loss = torch.nn.functional.cross_entropy(module(X[i : i + 1]), y[i : i + 1])
        parts = torch.autograd.grad(loss, list(module.parameters()))
        expected = torch.cat([part.reshape(-1) for part in parts])
        torch.testing.assert_close(rows[i], expected, rtol=1e-4, atol=1e-5)
    summed = paper["erasure"].forget_gradient(module, X, y, 1)
    torch.testing.assert_close(summed, rows.sum(dim=0), rtol=1e-4, atol=1e-4)


def test_symmetric_product_of_chunks(paper):
    rows = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    product = paper["erasure"].symmetric_product(rows, chunk_size=3)
    torch.testing.assert_close(product, rows @ rows.T)


def test_signed_batches_leave_rows_out(paper):
    kept = torch.tensor([False, True, True, True, True, False])
    batches = paper["erasure"].signed_batches(torch.eye(6), 2, kept)
    assert batches.abs().sum(dim=0).tolist() == [0, 1, 1, 1, 1, 0]
    assert batches.abs().sum(dim=1).tolist() == [2, 2]
    whole = paper["erasure"].signed_batches(torch.eye(6), 2)
    assert (whole.abs().sum(dim=0) == 1).all()


@pytest.mark.parametrize("block_size", [4, None])
def test_kernel_inverse_equals_the_dense_inverse(paper, block_size):
    rng = np.random.default_rng(0)
    rows = torch.as_tensor(rng.normal(size=(6, 10)), dtype=torch.float32)
    gradient = torch.as_tensor(rng.normal(size=10), dtype=torch.float32)
    kept = torch.tensor([True, True, False, True, True, True])
    inverse = paper["erasure"].KernelInverse(rows, 0.1, block_size)
    dense = (rows[kept].T @ rows[kept]).double()
    block = torch.arange(10) // (block_size or 10)
    dense = dense * (block[:, None] == block[None, :])
    dense += inverse.ridge * torch.eye(10, dtype=torch.float64)
    expected = torch.linalg.solve(dense, gradient.double()).float()
    torch.testing.assert_close(inverse.solve(gradient, kept), expected, rtol=1e-4, atol=1e-6)
    if block_size:
        full = paper["erasure"].KernelInverse(rows, 0.1)
        torch.testing.assert_close(
            inverse.as_one_block().solve(gradient), full.solve(gradient), rtol=1e-4, atol=1e-6
        )


def test_a_path_has_shorter_lengths_if_the_shortest_is_the_best(paper):
    class Sensitive:
        """A model that forgets all at a thousandth of the norm of its parameters."""

        def accuracies(self, module, case):
            moved = abs(1 - float(module.weight.detach().norm()))
            return [max(0.0, 1 - 1000 * moved), 1.0, 1.0, None, None]

    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(module.weight)
    reference = [0.5, 1.0, 1.0, None, None]
    path = paper["figure_2_models"].path_of(Sensitive(), module, None, torch.ones(1), reference)
    gaps = [paper["figure_2_report"].gap(point["accuracies"], reference) for point in path]
    assert 0 < np.argmin(gaps) < len(path) - 1
    assert min(gaps) < 0.1
    assert float(module.weight.detach()) == 1


def test_missing_images_are_named_with_their_address(paper, monkeypatch):
    monkeypatch.delenv("SSSE_CIFAR10", raising=False)
    with pytest.raises(FileNotFoundError, match=r"Download https://www\.cs\.toronto\.edu"):
        paper["cifar10"].load(10, 10, 8)


def test_the_script_runs_on_tiny_data(paper, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason='pip install "sklearn-ssse[plot]"')
    write_batches(tmp_path)
    monkeypatch.setenv("SSSE_CIFAR10", str(tmp_path))
    files = [str(tmp_path / name) for name in ["figure_2.json", "figure_2.png"]]
    options = ["--tiny", "--norms", "group", "--models", str(tmp_path / "models")]
    paper["figure_2"].main([*options, "--output", files[0], "--picture", files[1]])
    results = json.loads(Path(files[0]).read_text())["tiny"]["results"]
    nothing = next(r for r in results if r["method"] == "nothing")
    assert len({r["method"] for r in results}) == 16
    assert all(0 <= r["gap"] <= r["gap_with_rest"] for r in results)
    assert nothing["path"][0]["length"] == 0


def test_the_page_shows_the_numbers_of_the_results(paper):
    reports = json.loads(RESULTS.read_text())
    page = (ROOT / "docs" / "figure_2.md").read_text()
    lines = page.splitlines()
    assert set(reports) == {"quick", "middle"}
    for report in reports.values():
        for rows in paper["figure_2_report"].tables(report["results"]).values():
            start = lines.index(rows[0])
            while lines[start : start + len(rows)] != rows:
                start = lines.index(rows[0], start + 1)
        facts = report["environment"]
        for fact in [facts["date"], facts["machine"], *facts["versions"].values()]:
            assert fact in page
        for seconds in report["seconds"].values():
            assert all(f"{value:.0f} s" in page for value in seconds.values())
    assert (ROOT / "docs" / "figure_2.png").exists()
