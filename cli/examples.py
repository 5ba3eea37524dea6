"""What the helps say besides each command's own text: a line a command, and examples. A test parses each example."""

SHORT = {
    "compare": "a prompt with the expert alone, `exact`, and each rule: live, then a table",
    "run": "one answer, for pipes: stdout is the answer and nothing else",
    "chat": "ask, watch, ask again; both models' caches are kept",
    "serve": "the pair behind OpenAI's API, for editors, chats and scripts",
    "worker": "lend this machine to a speccas elsewhere, which has its expert here",
    "replay": "a recorded run again, without a model; a token explained; HTML or SVG",
    "rules": "which rule for what, and what each does",
    "bench": "speed and quality on a set of prompts, with a report",
    "tune": "find the fastest rule, alpha and draft length, and save them",
    "optimize": "make the files of a pair fit this machine, and prove it",
    "distill": "train a drafter for an expert: a head, or a small model",
    "doctor": "what this machine and build can do, and what is wrong",
    "list": "the pairs: size, what is here, memory, licence",
    "pull": "download a pair, or one model",
    "show": "headers, vocabularies, and the memory at a context",
    "check": "do two models work together? From their headers alone",
    "verify": "every byte against its SHA-256",
    "rm": "delete downloads, never what another pair uses",
    "config": "defaults, the default pair, and other names of pairs",
}
"""For the list of commands, and for completion."""

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("Watch what drafting wins, and what a rule changes", 'speccas compare "Name three primary colours."'),
        ("Chat with another pair", "speccas list; speccas pull qwen3-4b; speccas chat --pair qwen3-4b"),
        ("Two files of your own", 'speccas run "Hello" --drafter small.gguf --expert large.gguf'),
    ),
    "compare": (
        ("An edit of a program, which drafts copy from it", 'speccas compare "Rename Stack to Pile." < stack.py'),
        ("Two rules, one of them at two alphas", 'speccas compare "Why is the sky blue?" --rule token:0.3,token,bild'),
        ("Record it; explain token 9", 'speccas compare "Count to ten." --trace run.jsonl --why 9'),
    ),
    "run": (
        ("Explain a file", 'cat Makefile | speccas run "Explain:"'),
        ("Quicker, in other words", 'speccas run "Summarise: ..." --rule token -n 200'),
        ("Two files and a question", 'speccas run "What differs?" -f old.py -f new.py'),
        ("A file of prompts, one on each line", "speccas run --prompts asked.txt | jq -r .arm.text"),
        ("For a program", 'speccas run "Name three colours." --json | jq -r .arms[0].text'),
        ("The expert on a worker (speccas worker)", 'speccas run "Hello" --expert-rpc 127.0.0.1:50052'),
    ),
    "chat": (
        ("Chat; /help says what can be typed there", "speccas chat --pair qwen3-4b"),
        ("One turn", 'speccas chat -p "Name three primary colours." --temperature 0'),
    ),
    "serve": (
        ("For programs of this machine", "speccas serve --pair qwen3-4b"),
        ("For the whole network, with a key", "speccas serve --host 0.0.0.0 --api-key secret"),
    ),
    "worker": (
        ("For a speccas on this machine, or through a tunnel", "speccas worker"),
        ("A second one, with half of the cores", "speccas worker --port 50053 --threads 4"),
    ),
    "replay": (
        ("Watch it again, twice as fast", "speccas replay run.jsonl --speed 2"),
        ("Why is token 9 what it is?", "speccas replay run.jsonl --why 9"),
        ("One page to share", "speccas replay run.jsonl --export run.html"),
    ),
    "bench": (
        ("A short one", "speccas bench --limit 12 --repeats 2 -n 64 --rule token --report out"),
        ("A sweep of one rule, on edits", "speccas bench --prompts copying --rule token:0.2,0.5,0.8 -k 4,auto"),
        ("Two runs, one against the other", "speccas bench --compare before/report.json after/report.json"),
    ),
    "tune": (
        ("What it would try", "speccas tune --pair qwen3-4b --dry-run"),
        ("Lossless settings only", "speccas tune --pair qwen3-4b --max-quality-loss 0"),
    ),
    "distill": (
        ("What it would make, and how much of it", "speccas distill --dry-run"),
        ("A head for what you ask", "speccas distill llama.gguf --prompts asked.txt --out llama-head.gguf"),
    ),
    "optimize": (
        ("What it would make", "speccas optimize qwen3-4b --dry-run"),
        ("From larger files of the same models", "speccas optimize qwen3-4b --from Q8_0"),
    ),
    "pull": (
        ("A pair; first how much that is", "speccas pull qwen3-4b --dry-run"),
        ("One model", "speccas pull hf:Qwen/Qwen3-4B-GGUF:Q4_K_M"),
    ),
    "show": (
        ("A pair, and the memory at a context", "speccas show qwen3-4b --ctx 8192"),
        ("A file", "speccas show model.gguf"),
    ),
    "check": (
        ("Before you download", "speccas check hf:Qwen/Qwen3-0.6B-GGUF hf:Qwen/Qwen3-8B-GGUF"),
        ("How often the drafter is right", "speccas check tiny --measure"),
    ),
    "verify": (("All files that are here", "speccas verify"),),
    "rm": (("A pair's downloads", "speccas rm qwen3-4b"),),
    "config": (
        ("Another pair where none is named", "speccas config set pair qwen3-4b"),
        ("A short name for a pair", "speccas config set aliases.q qwen3-4b"),
        ("What is set, and the file", "speccas config list; speccas config path"),
    ),
    "list": (("For a program", "speccas list --json"),),
    "rules": (
        ("Which one?", "speccas rules"),
        ("All about one", "speccas rules token"),
    ),
    "doctor": (("What drafts can win here at most", "speccas doctor --curve --pair qwen3-4b"),),
}
"""(What it does, what to type), by command; of the program itself without a name."""
