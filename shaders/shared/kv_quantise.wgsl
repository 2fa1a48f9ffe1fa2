// A block of 32 values as the q8 cache keeps it.

struct Code {
    words: array<u32, 8>,
    scale: u32,
}

fn quantise(values: array<f32, 32>) -> Code {
    var x = values;
    var largest = 0.0;
    for (var i = 0u; i < 32u; i++) {
        largest = max(largest, abs(x[i]));
    }
    let d = largest / 127.0;
    let inverse = select(0.0, 127.0 / largest, largest > 0.0);
    var code: Code;
    for (var w = 0u; w < 8u; w++) {
        var word = 0u;
        for (var b = 0u; b < 4u; b++) {
            // Half away from zero, as GGUF rounds.
            let q = x[w * 4u + b] * inverse;
            let rounded = sign(q) * floor(abs(q) + 0.5);
            word |= (bitcast<u32>(i32(clamp(rounded, -127.0, 127.0))) & 0xffu) << (8u * b);
        }
        code.words[w] = word;
    }
    code.scale = pack2x16float(vec2<f32>(d, 0.0)) & 0xffffu;
    return code;
}
