"""Settings of a training run. Keras is not imported, so --help is fast."""

from dataclasses import asdict, dataclass

from gazeback.models.errors import UserError

FROZEN, FINE_TUNED, REFINED = "frozen", "fine-tuned", "refined"
# The encoder layer after which fine-tuning starts, for encoders where the best one has been measured.
FINE_TUNE_AFTER = {"efficientnet_lite0": "block6a_project_bn"}


@dataclass(frozen=True)
class Plan:
    """Settings of one phase; ``batch`` is a number of captions, ``patience`` that of ``run_epochs``."""

    name: str
    epochs: int
    learning_rate: float
    batch: int
    smoothing: float = 0.0
    patience: int | None = None
    seed: int = 0
    gradient_norm: float = 2.0


@dataclass(frozen=True)
class Settings:
    """Everything that a training run depends on besides the data."""

    encoder: str = "efficientnet_lite0"
    weights: str | None = "imagenet"
    min_count: int = 5
    max_words: int = 20
    embedding_size: int = 256
    units: int = 512
    every_word: bool = True
    dropout: float = 0.5
    feature_dropout: float = 0.3
    word_dropout: float = 0.1
    views: int = 6
    epochs: int = 5
    learning_rate: float = 1e-3
    fine_tune_epochs: int = 4
    refine_epochs: int = 0
    fine_tune_after: str | None = None
    captions_per_batch: int = 64
    fine_tune_learning_rate: float = 5e-4
    smoothing: float = 0.0
    patience: int | None = None
    seed: int = 0

    def fine_tune_layer(self) -> str | None:
        """The encoder layer after which layers are fine-tuned; None without fine-tuning."""
        if self.fine_tune_epochs == 0:
            return None
        layer = self.fine_tune_after or FINE_TUNE_AFTER.get(self.encoder)
        if layer is None:
            raise UserError(
                f"for the encoder {self.encoder} give --fine-tune-after LAYER, or --fine-tune-epochs 0"
            )
        return layer

    def relevant_to(self, phase: str) -> dict[str, str | int | float | None]:
        """The settings that the result of a phase depends on, without those of later phases."""
        last = ("refine_epochs",)
        later = ("fine_tune_epochs", "fine_tune_learning_rate")
        left_out = {FROZEN: later + last, FINE_TUNED: last, REFINED: ()}[phase]
        return {name: value for name, value in asdict(self).items() if name not in left_out}

    def plans(self) -> tuple[Plan, ...]:
        """The phases: the language half on the features of the frozen encoder; the encoder's last blocks with
        it; then both once more, at half the rate (a warm restart: Loshchilov and Hutter, *SGDR*, ICLR 2017),
        which may not raise the dev loss.
        """
        batch, rest = self.captions_per_batch, (self.smoothing, self.patience, self.seed)
        first = Plan(FROZEN, self.epochs, self.learning_rate, batch, *rest)
        if self.fine_tune_epochs == 0:
            return (first,)
        rate = self.fine_tune_learning_rate
        return (
            first,
            Plan(FINE_TUNED, self.fine_tune_epochs, rate, batch, *rest),
            Plan(REFINED, self.refine_epochs, rate / 2, batch, self.smoothing, self.patience or 3, self.seed),
        )
