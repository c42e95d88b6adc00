from .small import Array, Call

class WeightGradient(Call):
    def describe(
        self, numbers: Array, algorithm: str, last: bool, finite: bool, with_bias: bool
    ) -> None: ...

class MaxPool(Call):
    def describe(self, numbers: Array, indexed: bool) -> None: ...

class AveragePool(Call):
    def describe(self, numbers: Array, gradient: bool) -> None: ...
