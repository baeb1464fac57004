"""The parts of the configuration that are settings, not entries with names (entries.py)."""

from typing import Annotated, Any, Literal, Self

from pydantic import PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from ..io import UserError, did_you_mean
from ..synthesis import filter_names
from .keys import Number, Part, Several, key

Mode = Literal["cot", "tool"]
MODE = "Kind of solution: natural language or Python program."


def _filter(entry: Any) -> str | dict[str, float]:
    try:
        filter_names.named(entry)
    except UserError as error:
        raise PydanticCustomError("mistake", "{text}", {"text": str(error)}) from None
    return entry  # type: ignore[no-any-return]  # `named` has looked at it


FILTERS = (
    f"Checks that a problem must pass, in this order: {', '.join(filter_names.LIMITS)}; one with a"
    " limit as {name: limit}."
)
# A filter by its name, or with its limit: `{name: limit}`.
Filter = Annotated[
    str | dict[str, float],
    PlainValidator(_filter),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [name for name, limit in filter_names.LIMITS.items() if not limit]},
                {
                    "type": "object",
                    "additionalProperties": False,
                    "minProperties": 1,
                    "maxProperties": 1,
                    "properties": {
                        name: {"type": "number", "description": limit}
                        for name, limit in filter_names.LIMITS.items()
                        if limit
                    },
                },
            ]
        }
    ),
]


class Gpus(Part):
    """`compute.gpus`."""

    train: int = key("GPUs of a training job.", ge=0)
    generate: int = key("GPUs of a generation job.", ge=0)


class Compute(Part):
    """`compute`."""

    threads: int = key(
        "Torch threads per job. Part of the experiment: the cores granted do not change the bytes.",
        ge=1,
    )
    dtype: Literal["auto", "bfloat16", "float32"] = key(
        "Weights in generation and autocast in training. auto: on processors bfloat16 where they"
        " multiply it in hardware, else float32; on GPUs bfloat16."
    )
    generation: Literal["transformers", "vllm", "llamacpp"] = key(
        "Engine that runs local models. Quantised checkpoints run in llamacpp, whatever runs the"
        " others."
    )
    batch: int = key("Sequences generated together by the transformers engine.", ge=1)
    gpus: Gpus = key("GPUs per job.", conduct=True)


class Lengths(Part):
    """Mean lengths of texts that are not yet written."""

    prompt: int = key("Mean tokens of a synthesis prompt.", unit="tokens", ge=1)
    answer: int = key("Mean tokens of a problem with its solution.", unit="tokens", ge=1)


class Tokens(Part):
    """`sizing.tokens`."""

    cot: Lengths = key("Problems with natural-language solutions.")
    tool: Lengths = key("Problems with Python solutions.")


class Card(Part):
    """An entry of `sizing.cards`."""

    gpu_memory_gb: Number = key("Memory of one GPU in gigabytes.", unit="GB", gt=0)
    training_tflops: Number = key("Speed reached in training.", unit="TFLOP/s", gt=0)
    generation_tflops: Number = key("Speed reached in generation.", unit="TFLOP/s", gt=0)


class Sizing(Part):
    """`sizing`."""

    card: str | None = key(
        "The GPU that you have: an entry of `cards`, whose memory and speeds count instead of the"
        " three keys of these names here.",
        default=None,
    )
    cards: dict[str, Card] | None = key(
        "GPUs by name; `estimate` ends with the time that the run takes on each.", default=None
    )

    gpu_memory_gb: Number = key("Memory of one GPU in gigabytes.", unit="GB", gt=0)
    gpus_per_node: int = key("GPUs of one node.", ge=1)
    node_memory_gb: Number = key("Host memory of one node; no job asks for more.", unit="GB", gt=0)
    gpus_at_once: int = key(
        "GPUs that you expect to hold together; for the wall time of the estimate only.", ge=1
    )
    training_tflops: Number = key(
        "Speed reached in training, in 10^12 operations per second and GPU (without GPUs: of the"
        " machine).",
        unit="TFLOP/s",
        gt=0,
    )
    generation_tflops: Number = key(
        "Speed reached in generation, over the tokens read and written.", unit="TFLOP/s", gt=0
    )
    longest_job_hours: Number = key(
        "Longest job that the cluster runs; longer work is continued by the next attempt.",
        unit="hours",
        gt=0,
    )
    gpu_hour_dollars: Number = key(
        "Price of a GPU-hour; 0 where it costs you nothing.", unit="dollars", ge=0
    )
    teacher_seconds: Number = key(
        "Seconds that the teacher takes for one request.", unit="seconds", gt=0
    )
    check_nodes: bool = key(
        "Begin a run by looking at a node of each kind, as `snakemake preflight` does; stop where"
        " long jobs would fail."
    )
    tokens: Tokens = key("Mean lengths of texts that are not yet written, by mode.")

    @model_validator(mode="before")
    @classmethod
    def _of_the_card(cls, given: Any) -> Any:
        cards = given.get("cards") if isinstance(given, dict) else None
        chosen = cards.get(given.get("card")) if isinstance(cards, dict) else None
        if isinstance(chosen, dict):  # what is wrong in it is said where it stands
            return {**given, **{k: v for k, v in chosen.items() if k in Card.model_fields}}
        return given

    @model_validator(mode="after")
    def _card_is_known(self) -> Self:
        known = self.cards or {}
        if self.card is not None and self.card not in known:
            hint = did_you_mean(self.card, known) or f" Known: {', '.join(known) or 'none'}."
            text = f'there is no "{self.card}" in sizing.cards.{hint}'
            raise PydanticCustomError("mistake", "{text}", {"text": text})
        return self


class Passage(Part):
    """`corpus.passage`."""

    characters: int = key("Longest passage in characters.", unit="characters", ge=50)
    minimum_characters: int = key("Shorter passages are dropped.", unit="characters", ge=0)
    per_document: int = key("Passages taken from one document at most; 0: all.", ge=0)


class Serve(Part):
    """`teacher.serve`."""

    command: str = key("Command line with {model}, {port} and {threads}.")
    source: str = key("Entry of `sources` that {model} names, a GGUF file; may be empty.")
    checkpoint: str | None = key(
        "Entry of `checkpoints` that {model} names instead, a folder.",
        names="checkpoints",
        default=None,
    )
    gpus: int | None = key(
        "GPUs of the server, leased like any job's; not given: 0.", ge=0, default=None
    )
    ready_seconds: int = key("Longest wait for the server.", unit="seconds", ge=1)

    @model_validator(mode="after")
    def _serves_one_model(self) -> Self:
        if self.source and self.checkpoint:
            raise PydanticCustomError("mistake", "give source or checkpoint, not both.")
        return self


class Price(Part):
    """Dollars of one model."""

    input: Number = key("Per million prompt tokens.", unit="dollars", ge=0)
    output: Number = key("Per million completion tokens.", unit="dollars", ge=0)
    cached_input: Number | None = key(
        "Per million prompt tokens that the provider read from its cache.",
        unit="dollars",
        ge=0,
        default=None,
    )
    batch_discount: Number | None = key(
        "Share of the price that batches do not cost.", ge=0, lt=1, default=None
    )
    date: str = key("When the price was looked up.")


class Teacher(Part):
    """`teacher`."""

    model: str = key("Model name sent to the endpoint.", min_length=1)
    base_url: str = key(
        "OpenAI-compatible endpoint; empty: serve locally. The key comes from OPENAI_API_KEY.",
        conduct=True,
        pattern="^(https?://.*)?$",
    )
    serve: Serve = key("Local server, used where base_url is empty.", conduct=True)
    temperature: Number = key("Sampling temperature.", ge=0, le=2)
    max_tokens: int = key("Longest answer in tokens.", unit="tokens", ge=1)
    length_parameter: Literal["max_tokens", "max_completion_tokens"] = key(
        "What the endpoint calls the longest answer.", conduct=True
    )
    system: str = key("Message before all others; empty: none.")
    send: Several[Literal["temperature", "seed"]] = key("Which of these the endpoint takes.")
    extra_body: dict[str, Any] = key("Further fields of every request.")
    structured: bool = key("Ask for JSON by schema instead of [Problem]/[Solution] markers.")
    concurrency: int = key("Requests in flight.", conduct=True, ge=1)
    requests_per_minute: int = key("Our own limit; 0: none.", conduct=True, ge=0)
    tokens_per_minute: int = key("The same in tokens.", unit="tokens", conduct=True, ge=0)
    batch: bool = key(
        "Ask by the provider's Batch API: cheaper, within a day, resumed by its id.", conduct=True
    )
    api_key_env: str = key(
        "Variable of the environment that holds the key.", conduct=True, min_length=1
    )
    journal: str = key(
        "File of what was asked and answered, so that no results folder pays twice; empty: in the"
        " results.",
        conduct=True,
    )
    timeout_seconds: int = key("Time allowed for one request.", unit="seconds", conduct=True, ge=1)
    attempts: int = key("Tries per request.", conduct=True, ge=1)
    budget_dollars: Number = key(
        "Most that may be spent over all requests of the run.", unit="dollars", conduct=True, ge=0
    )
    prices: dict[str, Price] = key(
        "Dollars per million tokens, by model. A model without a price is an error.", conduct=True
    )

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if not self.base_url and not self.serve.command:
            raise PydanticCustomError(
                "mistake", "set base_url, or serve.command for a local server."
            )
        return self


class Prompts(Part):
    """`prompts`."""

    cot: str = key("Prompts for problems with natural-language solutions.")
    tool: str = key("Prompts for problems with Python solutions.")


# As in `execution.programs.PROTECTIONS`, which says what is open without each.
Protection = Literal["system_calls", "files", "network", "processes", "privileges", "folder"]
Disagreement = Literal["keep", "reject", "replace", "restate"]


class Limits(Part):
    """What a model-written program is run under."""

    seconds: Number = key("Limit of processor time per program.", unit="seconds", gt=0)
    memory_mb: int = key("Address space per program.", unit="MB", ge=64)
    output_characters: int = key(
        "Output kept; the middle of longer output is cut.", unit="characters", ge=10
    )
    workers: int = key("Programs run at once.", conduct=True, ge=1)
    accept_missing: Several[Protection] | None = key(
        "Protections of the sandbox that a machine may lack. Where one is missing that is not named"
        " here, no program is run.",
        conduct=True,
        default=None,
    )


class Execution(Limits):
    """`execution`."""

    repeat: bool | None = key(
        "Run every program of a corpus twice, with other seeds, clock and hashes; what prints"
        " something else the second time is not_deterministic. Not given: true.",
        default=None,
    )
    disagreement: Disagreement | None = key(
        "What becomes of a solution whose answer is not what its program prints. keep: it stays as"
        " it is; reject; replace: the printed value takes the answer's place where both are single"
        " values of one kind and the closing sentence only states the answer, the rest is rejected;"
        " restate: any single printed value becomes the answer, in a closing sentence of its own."
        " Not given: replace.",
        default=None,
    )


class Filtering(Part):
    """`filtering`."""

    permutations: int = key("Of MinHash.", ge=16)
    similarity: Number = key(
        "Jaccard similarity from which two questions are duplicates.", gt=0, le=1
    )
    shingle: int = key("Words per shingle.", unit="words", ge=1)
    overlap: Number = key(
        "Share of their phrases, weighed by rarity, from which a problem repeats a test question.",
        gt=0,
        le=1,
    )
    overlap_other_numbers: Number = key("The same with all numbers taken as one.", gt=0, le=1)


class Sampling(Part):
    """How a model writes."""

    temperature: Number = key("Sampling temperature; 0: greedy.", ge=0, le=2)
    top_p: Number = key("Nucleus.", gt=0, le=1)
    max_new_tokens: int = key("Longest answer in tokens.", unit="tokens", ge=1)


class Evaluation(Part):
    """`evaluation`."""

    temperature: Number = key("Sampling temperature; 0: greedy.", ge=0, le=2)
    top_p: Number = key("Nucleus.", gt=0, le=1)
    samples: int = key("Answers per problem.", ge=1)
    max_new_tokens: int = key("Longest answer per round.", unit="tokens", ge=1)
    tool_rounds: int = key("Rounds of writing and running a program.", ge=1)
    confidence: Number = key("Level of the intervals.", gt=0, lt=1)


class Recipe(Part):
    """An entry of `recipes`: hyper-parameters of a training."""

    learning_rate: Number = key("Peak learning rate.", gt=0, le=1)
    schedule: Literal["cosine", "linear", "wsd"] = key(
        "Shape of the learning rate; wsd: warm-up, stable, decay."
    )
    warmup_ratio: Number = key("Share of all steps spent warming up.", ge=0, le=1)
    stable_ratio: Number = key("wsd: share of all steps after which decay begins.", ge=0, le=1)
    minimum_ratio: Number = key(
        "wsd: floor of the learning rate as a share of its peak.", ge=0, le=1
    )
    epochs: int = key("Passes over the data.", ge=1)
    global_batch: int = key(
        "Packed sequences per update, whatever the number of GPUs.", unit="sequences", ge=1
    )
    micro_batch: int = key("Packed sequences per forward pass and device.", unit="sequences", ge=1)
    length: int = key("Tokens per packed sequence.", unit="tokens", ge=16)
    optimizer: Literal["adamw", "adafactor"] | None = key(
        "adafactor: 8 bytes per parameter instead of 16, the second moment in factors, no first"
        " one; for models that a GPU does not hold otherwise. Not given: adamw.",
        default=None,
    )
    weight_decay: Number = key("Weight decay.", ge=0)
    gradient_clip: Number = key("Largest gradient norm; 0: no clipping.", ge=0)
    gradient_checkpointing: bool = key("Trade compute for memory.")
    save_steps: int = key("Updates between checkpoints.", unit="updates", conduct=True, ge=1)


class Lora(Part):
    """An adapter through which gradients are taken."""

    rank: int = key("Rank.", ge=1)
    alpha: Number = key("Scale numerator.", gt=0)
    dropout: Number = key(
        "Dropout while the reference trains (gradients are taken without).", ge=0, le=1
    )
    targets: Several[str] = key("Names of the adapted linear layers.", min_length=1)


class Projection(Part):
    """How gradients are shortened before they are stored."""

    kind: Literal["none", "rademacher", "sjlt"] = key(
        "rademacher: dense, as in LESS, slow; sjlt: sparse, costs next to nothing."
    )
    dimension: int = key("Length of a projected gradient.", ge=8)
    dtype: Literal["float16", "float32"] = key("Of the stored features.")
