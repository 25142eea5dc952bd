"""One whole run of Flower's own simulation, as its users write it: peft and the Hugging Face Trainer in every client.

Started by `engine.py`. After Flower's template for fine-tuning language models: a client's call loads the base, wraps
it with peft, takes the server's adapter, lets the Trainer do the steps and sends the adapter back; FedAvg averages.
Ray actors of one core each, as many as this machine has cores. Prints the label tokens of the last round of all shops.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from typing import Any

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

from ecc_fed.end_model.engines.reference.training import pad_batch
from ecc_fed.end_model.training.examples import encode_example
from experiments.benchmarks.load import CPU, lora_config
from experiments.benchmarks.shops import run_arguments, shop_texts


def wrapped_base(path: str) -> Any:
    """The base with a fresh adapter."""
    return get_peft_model(AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32), lora_config())


def client_app(options: argparse.Namespace) -> ClientApp:
    """A client that does `options.steps` Trainer steps a round."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        torch.set_num_threads(1)
        model = wrapped_base(options.base)
        set_peft_model_state_dict(model, message.content["arrays"].to_torch_state_dict())
        tokenizer = AutoTokenizer.from_pretrained(options.base)
        texts = shop_texts(options.shape, int(context.node_config["partition-id"]), options.steps * options.batch_size)
        own = [encode_example(tokenizer, text, 256, 512) for text in texts]
        label_tokens = 0

        def collate(batch: list[Any]) -> dict[str, torch.Tensor]:
            nonlocal label_tokens
            label_tokens += sum(example.label_tokens for example in batch)
            ids, mask, labels = pad_batch(batch, CPU)
            return {"input_ids": ids, "attention_mask": mask, "labels": labels}

        with tempfile.TemporaryDirectory() as folder:
            settings = TrainingArguments(
                output_dir=folder,
                max_steps=options.steps,
                per_device_train_batch_size=options.batch_size,
                learning_rate=1e-4,
                lr_scheduler_type="constant",
                max_grad_norm=1.0,
                use_cpu=True,
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
                remove_unused_columns=False,
                seed=message.content["config"]["server-round"],
            )
            trainer = Trainer(model=model, args=settings, train_dataset=own, data_collator=collate)
            loss = trainer.train().training_loss
        content = RecordDict(
            {
                "arrays": ArrayRecord(get_peft_model_state_dict(model)),
                "metrics": MetricRecord({"num-examples": len(own), "loss": loss, "label-tokens": label_tokens}),
            }
        )
        return Message(content, reply_to=message)

    return app


def server_app(options: argparse.Namespace, found: list[float]) -> ServerApp:
    """Federated averaging; leaves the label tokens of the last round in `found`."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        start = ArrayRecord(get_peft_model_state_dict(wrapped_base(options.base)))
        strategy = FedAvg(fraction_train=1.0, fraction_evaluate=0.0, min_available_nodes=options.shops)
        result = strategy.start(
            grid=grid, initial_arrays=start, num_rounds=options.rounds, train_config=ConfigRecord({"lr": 1e-4})
        )
        # Shops weigh the same, so their mean tells the sum.
        last = result.train_metrics_clientapp[options.rounds]
        found.append(float(last["label-tokens"]) * options.shops)

    return app


def main() -> None:
    """Runs the simulation and prints its label tokens."""
    options = run_arguments().parse_args()
    found: list[float] = []
    resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": {"num_cpus": os.cpu_count() or 1}}
    run_simulation(server_app(options, found), client_app(options), options.shops, backend_config=resources)
    print(json.dumps({"label_tokens": round(found[0])}))


if __name__ == "__main__":
    main()
