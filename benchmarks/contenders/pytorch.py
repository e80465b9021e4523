"""The same model in PyTorch, as a user would write it: sparse gradients, logits B x B, Adagrad.

It is given rows of the table instead of strings: PyTorch has no hashing of strings in the model,
so that work is spared it. `distinct` makes it compute each item once, as ours does.
"""

import torch
from torch.nn import functional

from benchmarks.contenders import problem as given
from benchmarks.contenders.problem import Problem


class _Model(torch.nn.Module):
    def __init__(self, weights: dict):
        super().__init__()
        self.table = torch.nn.Parameter(torch.from_numpy(weights["table"]))
        self.query, self.candidate = (_tower(weights[side]) for side in ("query", "candidate"))

    def forward(self, seed, history, item):
        seed = functional.embedding(seed, self.table, sparse=True)
        history = functional.embedding_bag(history, self.table, mode="mean", sparse=True)
        item = functional.embedding(item, self.table, sparse=True)
        query = self.query(torch.cat([seed, history], dim=1))
        return functional.normalize(query), functional.normalize(self.candidate(item))


def _tower(layers) -> torch.nn.Sequential:
    modules: list[torch.nn.Module] = []
    for kernel, bias in layers:
        linear = torch.nn.Linear(*kernel.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(kernel.T.copy()))
            linear.bias.copy_(torch.from_numpy(bias))
        modules += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


class Contender:
    """Trains with the frequencies known; accidental hits are masked."""

    def __init__(self, problem: Problem, distinct: bool = False):
        torch.manual_seed(17)
        self._problem, self._distinct = problem, distinct
        probabilities = torch.from_numpy(given.inclusion_probabilities(problem.batch))
        self._batches = []
        numbers = problem.batches("numbers")
        for rows, number in zip(problem.batches("rows"), numbers, strict=True):
            batch = {name: torch.from_numpy(values) for name, values in rows.items()}
            batch["number"] = torch.from_numpy(number["item"])
            batch["log_p"] = torch.log(probabilities[batch["number"]])
            self._batches.append(batch)
        self._start()

    def _start(self) -> None:
        self._model = _Model(self._problem.weights())
        self._optimizer = torch.optim.Adagrad(
            self._model.parameters(),
            lr=given.LEARNING_RATE,
            initial_accumulator_value=given.INITIAL_ACCUMULATOR,
        )
        self._steps = 0

    def losses(self, steps: int) -> list[float]:
        """Of the first steps; then starts anew."""
        losses = [self._train(batch) for batch in self._batches[:steps]]
        self._start()
        return losses

    def step(self) -> None:
        """One training step."""
        self._train(self._batches[self._steps % len(self._batches)])
        self._steps += 1

    def _train(self, batch: dict[str, torch.Tensor]) -> float:
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss_distinct(batch) if self._distinct else self._loss(batch)
        loss.backward()
        self._optimizer.step()
        return float(loss.detach())

    def _loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        u, v = self._model(batch["seed"], batch["history"], batch["item"])
        logits = (u / given.TEMPERATURE) @ v.T - batch["log_p"]
        hits = batch["number"][:, None] == batch["number"][None, :]
        hits.fill_diagonal_(False)
        logits = logits.masked_fill(hits, float("-inf"))
        return functional.cross_entropy(logits, torch.arange(len(u)))

    def _loss_distinct(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        numbers, positives = torch.unique(batch["number"], return_inverse=True)
        first = torch.zeros_like(numbers).scatter_(0, positives, torch.arange(len(positives)))
        u, v = self._model(batch["seed"], batch["history"], batch["item"][first])
        counts = torch.bincount(positives).log()
        log_p = batch["log_p"]
        logits = (u / given.TEMPERATURE) @ v.T + (counts - log_p[first])
        own = torch.arange(len(u))
        # The item's other copies are no negatives.
        logits[own, positives] -= counts[positives]
        return functional.cross_entropy(logits, positives)
