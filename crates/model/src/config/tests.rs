use super::*;

fn qwen3(extra: &str) -> String {
    format!(
        r#"{{"model_type":"qwen3","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,
        "head_dim":32,"intermediate_size":96,"vocab_size":100,"rms_norm_eps":1e-6,"max_position_embeddings":1024,
        "hidden_act":"silu"{extra}}}"#
    )
}

fn moe(extra: &str) -> String {
    qwen3(&format!(r#","num_experts_per_tok":2,"moe_intermediate_size":24,"norm_topk_prob":true,"model_type":"qwen3_moe"{extra}"#))
        .replacen(r#""model_type":"qwen3","#, "", 1)
}

fn parse(json: &str) -> Result<ModelConfig> {
    ModelConfig::from_hf_json(json.as_bytes())
}

fn refused(json: &str, words: &[&str]) {
    let error = parse(json).unwrap_err().to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

#[test]
fn both_transformers_versions_say_the_same() {
    let four = parse(&moe(r#","num_experts":5,"rope_theta":5e6,"rope_scaling":null,"torch_dtype":"bfloat16""#)).unwrap();
    let five =
        parse(&moe(r#","num_local_experts":5,"rope_parameters":{"rope_type":"default","rope_theta":5e6},"dtype":"bfloat16""#)).unwrap();
    assert_eq!(four, five);
    assert_eq!((four.moe.as_ref().unwrap().experts, four.rope_theta, four.dtype_hint), (5, 5e6, Some(DType::BF16)));
    assert!(four.qk_norm && four.is_sparse(0) && four.is_sparse(1));
}

#[test]
fn rope_types_are_read_or_refused() {
    let yarn = parse(&qwen3(r#","rope_scaling":{"type":"yarn","factor":4.0,"original_max_position_embeddings":256}"#)).unwrap();
    assert!(matches!(yarn.rope, RopeScaling::Yarn { factor: 4.0, original: 256.0, beta_fast: 32.0, truncate: true, .. }));
    let llama3 = r#","rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,
        "original_max_position_embeddings":512}"#;
    assert!(matches!(parse(&qwen3(llama3)).unwrap().rope, RopeScaling::Llama3 { original: 512.0, .. }));
    refused(&qwen3(r#","rope_scaling":{"rope_type":"longrope","factor":4}"#), &["rope_type", "longrope", "yarn"]);
    refused(&qwen3(r#","rope_scaling":{"rope_type":"linear"}"#), &["rope_scaling.factor", "missing"]);
    refused(&qwen3(r#","rope_scaling":{"rope_type":"linear","factor":0}"#), &["rope_scaling.factor"]);
    refused(&qwen3(r#","rope_parameters":{"full_attention":{"rope_theta":1}}"#), &["layer kind"]);
    refused(&qwen3(r#","rope_theta":-3"#), &["rotary"]);
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    refused(&qwen3("").replace("qwen3", "mamba"), &["model_type", "mamba", "qwen3_moe"]);
    refused(&qwen3("").replace("silu", "gelu"), &["hidden_act", "gelu", "silu"]);
    refused(&qwen3(r#","use_sliding_window":true,"sliding_window":4096"#), &["use_sliding_window"]);
    refused(&qwen3(r#","layer_types":["full_attention","sliding_attention"]"#), &["layer_types"]);
    refused(&qwen3(r#","mlp_bias":true"#), &["mlp_bias"]);
    refused(&qwen3(r#","quantization_config":{"quant_method":"gptq"}"#), &["gptq", "GGUF"]);
    refused(&qwen3(r#","partial_rotary_factor":0.5"#), &["partial_rotary_factor"]);
}

#[test]
fn impossible_values_are_refused_by_name() {
    refused("{", &["config.json", "byte"]);
    refused("[]", &["object"]);
    refused(&qwen3("").replace(r#""hidden_size":64,"#, ""), &["hidden_size", "missing"]);
    refused(&qwen3("").replace(r#""head_dim":32"#, r#""head_dim":33"#), &["head width", "33"]);
    refused(&qwen3("").replace(r#""head_dim":32"#, r#""head_dim":512"#), &["head width", "512"]);
    refused(&qwen3("").replace(r#""num_key_value_heads":2"#, r#""num_key_value_heads":3"#), &["head count"]);
    refused(&qwen3("").replace("64", "\"x\""), &["hidden_size", "whole number"]);
    refused(&qwen3("").replace("\"num_hidden_layers\":2", "\"num_hidden_layers\":18446744073709551615"), &["layer count"]);
    refused(&moe(r#","num_experts":1"#), &["experts per token"]);
    refused(&moe(""), &["num_experts", "missing"]);
}

#[test]
fn head_dim_falls_back_to_the_heads() {
    let config = parse(&qwen3("").replace(r#""head_dim":32"#, r#""head_dim":null"#)).unwrap();
    assert_eq!(config.head_dim, 16);
}

#[test]
fn dense_layers_follow_step_and_list() {
    let config = parse(&moe(r#","num_experts":5,"decoder_sparse_step":2"#)).unwrap();
    assert_eq!(config.moe.unwrap().dense_layers, [0]);
    let config = parse(&moe(r#","num_experts":5,"mlp_only_layers":[1]"#)).unwrap();
    assert_eq!(config.moe.unwrap().dense_layers, [1]);
}

#[test]
fn qwen2_has_biases_and_no_output_bias() {
    let config = parse(&qwen3("").replace("\"qwen3\"", "\"qwen2\"")).unwrap();
    assert!(config.qkv_bias && !config.attention_out_bias && !config.qk_norm);
    let llama = parse(&qwen3(r#","attention_bias":true"#).replace("\"qwen3\"", "\"llama\"")).unwrap();
    assert!(llama.qkv_bias && llama.attention_out_bias && !llama.qk_norm);
}

#[test]
fn end_ids_are_merged_once_each() {
    let mut config = parse(&qwen3(r#","eos_token_id":[7,3]"#)).unwrap();
    config.add_eos([3, 9]);
    assert_eq!(config.eos, [7, 3, 9]);
}

#[test]
fn published_shapes_have_their_published_sizes() {
    let count = |name: &str| ModelConfig::known(name).unwrap().parameters() as f64 / 1e9;
    for (name, billions) in
        [("qwen3-0.6b", 0.596), ("Qwen/Qwen3-1.7B", 1.72), ("qwen3-4b", 4.02), ("qwen3-8b", 8.19), ("qwen3-30b-a3b", 30.53)]
    {
        assert!((count(name) - billions).abs() < 0.01, "{name}: {}", count(name));
    }
    let active = ModelConfig::known("qwen3-30b-a3b").unwrap().active_parameters() as f64 / 1e9;
    assert!((active - 3.35).abs() < 0.05, "{active}");
    for name in ModelConfig::known_names() {
        ModelConfig::known(name).unwrap().checked(name).unwrap();
    }
}
