"""The tiny model of tiny_model.py as a GGUF file, as llama.cpp's own converter would write it."""

import gguf
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def make_gguf(folder, path):
    """Write the checkpoint in `folder`, a Llama with a byte-level tokenizer, to `path`."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    pieces[-1] = pieces[-3] + pieces[-2]  # a merge must be there, and have a piece
    kinds = [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(pieces) - 2)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(pieces)
    writer.add_token_types(kinds)
    writer.add_token_scores([0.0] * len(pieces))
    writer.add_token_merges([f"{pieces[-3]} {pieces[-2]}"])
    writer.add_eos_token_id(0)
    writer.add_eot_token_id(1)
    writer.add_bos_token_id(0)
    writer.add_add_bos_token(False)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, value in model.state_dict().items():
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        for projection, count in heads.items():
            if projection in name:  # rotated pairs lie side by side in GGUF
                rows, columns = value.shape
                value = value.reshape(count, 2, rows // count // 2, columns)
                value = value.transpose(1, 2).reshape(rows, columns)
        writer.add_tensor(names.get_name(name, (".weight",)), value.numpy().copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
