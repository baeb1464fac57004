# Where products lie and what each rule reads, as functions of the configuration.
#
# Reads:  config
# Writes: nothing


def checkpoint(name):
    """Folder of a starting checkpoint."""
    return f"<results>/sources/models/{name}"


def synthesizer(name):
    """Folder of a synthesizer: trained here, or taken from its authors."""
    entry = config["synthesizers"][name]
    if "released" in entry:
        return checkpoint(entry["released"])
    return f"<results>/synthesizers/{name}/model"


def corpus_table(name):
    """Table of a synthetic corpus: written here, or taken from its authors."""
    entry = config["corpora"][name]
    if "released" in entry:
        return f"<results>/sources/datasets/{entry['released']}.parquet"
    return f"<results>/synthesis/{name}/problems.parquet"


def is_trained(model):
    """Whether a model is trained here, or evaluated as it is."""
    return bool(config["models"][model].keys() & {"pretrain", "finetune"})


def model_folder(name):
    """Folder of a model to evaluate."""
    if is_trained(name):
        return f"<results>/models/{name}/model"
    return checkpoint(config["models"][name]["base"])


def fetched(entry):
    """Files behind an entry that names sources, datasets or files."""
    return [
        *(f"<results>/sources/files/{name}" for name in entry.get("sources", [])),
        *(
            f"<results>/sources/datasets/{name}.parquet"
            for name in entry.get("datasets", [])
        ),
        *files(entry.get("files", [])),
    ]


# ------------------------------------------------------------------ sources


def checkpoint_file(wildcards):
    """The fetched file that a checkpoint is made from, if it is made from one."""
    entry = config["checkpoints"][wildcards.checkpoint]
    return f"<results>/sources/files/{entry['source']}" if "source" in entry else []


# ------------------------------------------------------------------ corpus


def pooling_memory(wildcards, input, attempt):
    """Megabytes of host memory for joining passages: what tells duplicates is held."""
    return int((sizing.PROGRAM_MB + sizing.POOL_SHARE * input.size_mb) * attempt)


# ------------------------------------------------------------------ benchmarks


def split_of(wildcards):
    """Configuration of one split (a split that is not configured is an error of the DAG)."""
    return config["benchmarks"][wildcards.benchmark]["splits"][wildcards.split]


def split_files(wildcards):
    """Files that a split is read from."""
    entry = split_of(wildcards)
    return fetched(
        {
            "sources": [entry["source"]] if "source" in entry else [],
            "datasets": [entry["dataset"]] if "dataset" in entry else [],
            "files": entry.get("files", []),
        }
    )


# ------------------------------------------------------------------ distillation


def prompt_folder(mode):
    """Folder of the prompts for a mode."""
    return config["prompts"][mode]


def prompt_files(mode):
    """Prompts of a mode, as inputs: an edited prompt reruns what it reaches."""
    return files([f"{prompt_folder(mode)}/*.md"])


def distillation_mode(wildcards):
    """Mode of the entry behind the wildcard."""
    return config["distillation"][wildcards.distillation]["mode"]


def picking_scores(wildcards):
    """Influence scores, where they do the picking."""
    entry = config["distillation"][wildcards.distillation]
    return (
        f"<results>/influence/{entry['influence']}/scores.parquet"
        if "influence" in entry
        else []
    )


def teacher_file(wildcards):
    """Weights of the locally served teacher; none with a hosted one."""
    teacher = config["teacher"]
    if teacher["base_url"] or not teacher["serve"]["source"]:
        return []
    return f"<results>/sources/files/{teacher['serve']['source']}"


def teacher_recipe(wildcards):
    """What decides the teacher's answers, and how they are fetched."""
    return {
        **config["teacher"],
        "mode": distillation_mode(wildcards),
        "threads": config["compute"]["threads"],
    }


# ------------------------------------------------------------------ influence


def influence_entry(wildcards):
    """Configuration of the entry behind the wildcard."""
    return config["influence"][wildcards.influence]


def reference_recipe(wildcards):
    """Hyper-parameters of the reference model's training."""
    return config["recipes"][influence_entry(wildcards)["reference"]["recipe"]]


def reference_base(wildcards):
    """Starting checkpoint of the reference model."""
    return checkpoint(influence_entry(wildcards)["reference"]["base"])


def is_projected(wildcards):
    """Whether the candidates' features are projected and stored."""
    return influence_entry(wildcards)["projection"]["kind"] != "none"


def of_influence(product, file):
    """Input function: a product of the entry, made under the first entry that shares it."""

    def path(wildcards):
        name = sharing.maker(config, wildcards.influence, product)
        return f"<results>/influence/{name}/{file}".format(**dict(wildcards.items()))

    return path


def picked_by(influence):
    """Most passages that a distillation picks by these scores; 0: none does."""
    return max(
        (
            entry["passages"]
            for entry in config["distillation"].values()
            if entry.get("influence") == influence
        ),
        default=0,
    )


def candidate_tables():
    """All candidates, each table once."""
    makers = [sharing.maker(config, name, "candidates") for name in config["influence"]]
    return [
        f"<results>/influence/{name}/candidates.parquet"
        for name in dict.fromkeys(makers)
    ]


def features_source(wildcards):
    """What scores are made from: the base model, or with a projection the stored features."""
    if is_projected(wildcards):
        return of_influence("features", "features/{shard}")(wildcards)
    return reference_base(wildcards)


def influence_shards(wildcards):
    """Scores of the candidates, shard by shard."""
    name = sharing.maker(config, wildcards.influence, "shards")
    return [
        f"<results>/influence/{name}/shards/{number:05d}.parquet"
        for number in range(influence_entry(wildcards)["shards"])
    ]


def earlier_picks(wildcards):
    """Random picks that a synthesizer learns from beside the picks made by these candidates.

    The teacher has seen those texts, so they are no candidates.
    """
    entries = sharing.sharers(config, wildcards.influence, "candidates")
    writer = influence_entry(wildcards)["synthesizer"]
    seen = set()
    for name, entry in config["synthesizers"].items():
        learned = entry.get("distillation", [])
        chosen = [config["distillation"][other].get("influence") for other in learned]
        if name == writer or set(entries) & set(chosen):
            seen.update(learned)
    return [
        f"<results>/distillation/{name}/picks.parquet"
        for name, entry in config["distillation"].items()
        if name in seen
        and entry["pick"] == "random"
        and entry["mode"] == influence_entry(wildcards)["mode"]
    ]


# ------------------------------------------------------------------ synthesis


def corpus_entry(wildcards):
    """Configuration of the corpus behind the wildcard."""
    return config["corpora"][wildcards.corpus]


def shards(wildcards):
    """Shards of a corpus, executed where solutions are programs."""
    entry = corpus_entry(wildcards)
    kind = "executed" if entry["mode"] == "tool" else "shards"
    return [
        f"<results>/synthesis/{wildcards.corpus}/{kind}/{number:05d}.parquet"
        for number in range(entry["shards"])
    ]


def drawing_memory(wildcards, input, attempt):
    """Megabytes of host memory for the prompts of a corpus: the passages drawn are held."""
    prompts = corpus_entry(wildcards)["prompts"]
    if not prompts:  # every passage
        return table_memory(wildcards, input, attempt)
    return int((sizing.PROGRAM_MB + prompts * sizing.DRAW_BYTES / 1e6) * attempt)


def execution_memory():
    """Megabytes of host memory for running model-written programs."""
    settings = config["execution"]
    return 2000 + settings["workers"] * settings["memory_mb"]


def test_splits():
    """Test splits that no corpus may contain problems of."""
    return [
        f"<results>/benchmarks/{name}/test.parquet"
        for name, entry in config["benchmarks"].items()
        if entry["decontaminate"] and "test" in entry["splits"]
    ]


def written_corpora():
    """Names of the corpora that are written here rather than taken."""
    return [
        name for name, entry in config["corpora"].items() if "released" not in entry
    ]


# ------------------------------------------------------------------ training


def model_recipe(wildcards):
    """Hyper-parameters of a model's training."""
    return config["recipes"][config["models"][wildcards.model]["recipe"]]


def model_base(wildcards):
    """Starting checkpoint of a model."""
    return checkpoint(config["models"][wildcards.model]["base"])


def pretrain_tables(wildcards):
    """Corpora of the first stage."""
    return [
        corpus_table(name)
        for name in config["models"][wildcards.model].get("pretrain", [])
    ]


def finetune_tables(wildcards):
    """Sets of the second stage: training splits with worked solutions, datasets, files."""
    tables = []
    for name in config["models"][wildcards.model].get("finetune", []):
        entry = config["finetuning"][name]
        tables += [
            f"<results>/benchmarks/{b}/train.parquet"
            for b in entry.get("benchmarks", [])
        ]
        tables += fetched(entry)
    return list(dict.fromkeys(tables))


def finetune_modes(wildcards):
    """Kinds of solution that the second stage takes from benchmarks."""
    names = config["models"][wildcards.model].get("finetune", [])
    return sorted(
        {mode for name in names for mode in config["finetuning"][name]["modes"]}
    )


# ------------------------------------------------------------------ evaluation


def evaluations(entry):
    """Folders of the evaluations that a table needs, models in row order."""
    return [
        f"<results>/evaluation/{model}/{entry['mode']}/{benchmark}"
        for model in entry["models"]
        for benchmark in entry["benchmarks"]
    ]


def shots(wildcards):
    """Worked examples shown before each problem: the model's number, else the benchmark's."""
    if wildcards.mode != "cot":
        return 0
    usual = config["benchmarks"][wildcards.benchmark].get("shots", {"count": 0})[
        "count"
    ]
    return config["models"][wildcards.model].get("shots", usual)


def shots_file(wildcards):
    """The file of these examples, where there are any."""
    if not shots(wildcards):
        return []
    return config["benchmarks"][wildcards.benchmark]["shots"]["file"]


def answering_recipe(wildcards):
    """What decides a model's answers; settings of the other mode change nothing."""
    settings = config["evaluation"]
    recipe = {
        **{
            key: settings[key]
            for key in ("temperature", "top_p", "samples", "max_new_tokens")
        },
        **generation(),
        "template": config["models"][wildcards.model]["template"],
    }
    if wildcards.mode == "tool":
        return recipe | {
            "tool_rounds": settings["tool_rounds"],
            "execution": config["execution"],
        }
    return recipe | {"shots": shots(wildcards)}


def all_evaluations():
    """Folders of the evaluations that any table needs."""
    return list(
        dict.fromkeys(
            folder
            for entry in config["tables"].values()
            for folder in evaluations(entry)
        )
    )


# ------------------------------------------------------------------ tables


def histories():
    """Loss histories of everything that is trained."""
    trained = [
        name
        for name, entry in config["synthesizers"].items()
        if "released" not in entry
    ]
    return [
        *(f"<results>/synthesizers/{name}/history.jsonl" for name in trained),
        *(
            f"<results>/models/{name}/history.jsonl"
            for name in config["models"]
            if is_trained(name)
        ),
    ]


def test_entries(entry):
    """Configuration of the test splits of a table's benchmarks."""
    return {
        name: config["benchmarks"][name]["splits"]["test"]
        for name in entry["benchmarks"]
    }


def subsets(entry):
    """Benchmarks of a table of which only a fixed part is used."""
    return [
        name
        for name, test in test_entries(entry).items()
        if "generator" not in test
        and test.get("problems")
        and test["problems"] != test.get("size")
    ]


def whole_sizes(entry):
    """Problems of the whole test set, for the benchmarks where that is known."""
    return {
        name: test["size"]
        for name, test in test_entries(entry).items()
        if "size" in test
    }


def run_tables():
    """Names of the tables that are about the run itself and need no entry."""
    return ["cost", *(["influence"] if config["influence"] else [])]


def gpus_of_jobs():
    """GPUs of a job, by rule and name, of all rules that the plan knows."""
    found = {}
    for (rule, name), work in PLAN.items():
        found.setdefault(rule, {})[name] = work.gpus
    return found


# ------------------------------------------------------------------ planning

NODE_KINDS = ["train", "vllm", "evaluate"]  # by the software that the jobs use: envs/


def admitted():
    """Marks of the node checks that a whole run begins with.

    Targets ask for them rather than long jobs: a check that is repeated, or switched off, must not
    make finished work again.
    """
    kinds = NODE_KINDS if config["sizing"]["check_nodes"] else []
    return [f"<results>/preflight/{kind}.admitted" for kind in kinds]


def node_threads(wildcards):
    """Cores of one kind of job."""
    if wildcards.kind == "evaluate":
        return config["execution"]["workers"]
    return config["compute"]["threads"]


def node_memory(wildcards):
    """Megabytes that a job of a kind is given, as far as a node has them."""
    most = sizing.NODE_SHARE * config["sizing"]["node_memory_gb"]
    return int(min(node_request(wildcards)["memory_mb"], most))


def node_request(wildcards):
    """What the largest job of a kind asks of one node, and what the run leaves on the disk."""
    programs = {
        "train": ("train_synthesizer", "train_reference", "train_model"),
        "vllm": ("synthesize", "synthesize_candidates", "answer_benchmark"),
        "evaluate": (),
    }[wildcards.kind]
    works = [work for (rule, _), work in PLAN.items() if rule in programs]
    return {
        "results": config["results"],
        "gpus": max((work.gpus // work.nodes for work in works), default=0),
        "memory_mb": max(
            (work.memory_mb for work in works), default=execution_memory()
        ),
        "disk": sum(work.disk for work in PLAN.values())
        + workload.state_bytes(PLAN.values()),
        "gpu_memory_gb": config["sizing"]["gpu_memory_gb"],
        "dtype": numerics("train" if wildcards.kind == "train" else "generate")["dtype"],
        "engine": config["compute"]["generation"],
    }
