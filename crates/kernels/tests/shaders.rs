//! Every variant of every shader through naga and its writers, without a GPU; bindings and uniforms equal what the host declares.

use kernels::gpu::preprocess::Target;
use kernels::gpu::shader::{Access, ShaderSpec};
use kernels::table::shaders;
use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, StorageAccess, TypeInner};

const TARGET: Target = Target { f16: true, subgroups: true, web: false };

type Check = Result<(), String>;

/// Parses, validates, reflects and writes one variant.
fn check(spec: &ShaderSpec, defines: &[(&'static str, i64)]) -> Check {
    let source = spec.module(defines, TARGET).map_err(|error| error.to_string())?;
    let explain = |text: String| {
        let (place, message) = source.explain(&text);
        format!("{place}: {message}")
    };
    let module =
        naga::front::wgsl::parse_str(&source.source).map_err(|error| explain(error.emit_to_string_with_path(&source.source, "wgsl")))?;
    // The second is what the core function unpack2x16float needs.
    let capabilities =
        Capabilities::SHADER_FLOAT16 | Capabilities::SHADER_FLOAT16_IN_FLOAT32 | Capabilities::SUBGROUP | Capabilities::SUBGROUP_BARRIER;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(&module)
        .map_err(|error| explain(error.emit_to_string_with_path(&source.source, "wgsl")))?;
    reflect(spec, &module)?;
    write(&module, &info)
}

fn reflect(spec: &ShaderSpec, module: &Module) -> Check {
    let entry = module.entry_points.iter().find(|entry| entry.name == "main").ok_or("there is no entry point `main`")?;
    let threads: u32 = entry.workgroup_size.iter().product();
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|error| error.to_string())?;
    let mut shared = 0;
    let mut seen = vec![false; spec.bindings.len() + 1];
    for (_, variable) in module.global_variables.iter() {
        if variable.space == AddressSpace::WorkGroup {
            shared += layouter[variable.ty].size.next_multiple_of(16);
        }
        let Some(binding) = &variable.binding else { continue };
        let name = variable.name.as_deref().unwrap_or("?");
        let index = binding.binding as usize;
        if binding.group != 0 || index >= seen.len() || seen[index] {
            return Err(format!("`{name}` has group {} binding {index}", binding.group));
        }
        seen[index] = true;
        match variable.space {
            AddressSpace::Uniform if index == 0 => uniform(spec, module, &layouter, variable.ty)?,
            AddressSpace::Storage { access } if index > 0 => {
                let found = if access.contains(StorageAccess::STORE) { Access::ReadWrite } else { Access::Read };
                if found != spec.bindings[index - 1] {
                    return Err(format!("`{name}` is {found:?}, the spec says {:?}", spec.bindings[index - 1]));
                }
            }
            space => return Err(format!("`{name}` at binding {index} is in {space:?}")),
        }
    }
    if let Some(index) = seen.iter().position(|seen| !seen) {
        return Err(format!("binding {index} is not in the shader"));
    }
    // The portable contract of DESIGN.md §3.
    if spec.bindings.len() > 8 || threads > 256 || shared > 16 << 10 {
        return Err(format!("{} bindings, {threads} threads, {shared} bytes of workgroup memory", spec.bindings.len()));
    }
    Ok(())
}

fn uniform(spec: &ShaderSpec, module: &Module, layouter: &naga::proc::Layouter, ty: naga::Handle<naga::Type>) -> Check {
    let TypeInner::Struct { members, span } = &module.types[ty].inner else { return Err("the uniform is not a struct".into()) };
    if *span as usize != spec.uniform_bytes || layouter[ty].size as usize != spec.uniform_bytes {
        return Err(format!("the uniform has {span} bytes, the host writes {}", spec.uniform_bytes));
    }
    let found: Vec<_> = members.iter().map(|member| (member.name.as_deref().unwrap_or("?"), member.offset as usize)).collect();
    if found != spec.uniform_fields {
        return Err(format!("the uniform's members are {found:?}, the host's {:?}", spec.uniform_fields));
    }
    Ok(())
}

fn write(module: &Module, info: &ModuleInfo) -> Check {
    let pipeline = spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: "main".into() };
    spv::write_vec(module, info, &spv::Options::default(), Some(&pipeline)).map_err(|error| format!("SPIR-V: {error}"))?;
    msl::write_string(
        module,
        info,
        &msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() },
        &Default::default(),
    )
    .map_err(|error| format!("MSL: {error}"))?;
    let mut text = String::new();
    let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_2, fake_missing_bindings: true, ..Default::default() };
    let pipeline = hlsl::PipelineOptions::default();
    hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None).map_err(|error| format!("HLSL: {error}"))?;
    Ok(())
}

#[test]
fn every_variant_is_valid() {
    let (mut count, mut failures) = (0, vec![]);
    for spec in shaders() {
        for defines in (spec.variants)() {
            count += 1;
            if let Err(message) = check(spec, &defines) {
                failures.push(format!("{} {defines:?}: {message}", spec.name));
            }
        }
    }
    println!("{count} variants");
    assert!(failures.is_empty(), "{} of {count} variants:\n{}", failures.len(), failures.join("\n"));
    assert!(count > 0);
}

/// Writes what a browser would compile to `SHADERS_OUT`, for `tint` or a page to check: naga accepts what browsers refuse.
#[test]
fn web_variants_are_written_out() {
    let web = Target { web: true, subgroups: false, ..TARGET };
    let folder = std::env::var_os("SHADERS_OUT").map(std::path::PathBuf::from);
    for spec in shaders() {
        for defines in (spec.variants)() {
            if defines.iter().any(|&(name, value)| name == "SUBGROUPS" && value != 0) {
                continue; // wgpu cannot ask a browser for them
            }
            let module = spec.module(&defines, web).unwrap_or_else(|error| panic!("{} {defines:?}: {error}", spec.name));
            if let Some(folder) = &folder {
                let values: String = defines.iter().map(|(name, value)| format!("-{name}{value}")).collect();
                std::fs::write(folder.join(format!("{}{values}.wgsl", spec.name)), module.source).unwrap();
            }
        }
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = shaders().iter().map(|spec| spec.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

const GOOD: &str = "
struct Params { count: u32, scale: f32, pad0: u32, pad1: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < params.count { y[id.x] *= params.scale; }
}";

const FIELDS: &[(&str, usize)] = &[("count", 0), ("scale", 4), ("pad0", 8), ("pad1", 12)];

fn planted(source: &'static str, bindings: &'static [Access], fields: &'static [(&'static str, usize)], bytes: usize) -> Check {
    let variants = || vec![vec![]];
    check(&ShaderSpec { name: "planted", source, bindings, uniform_bytes: bytes, uniform_fields: fields, variants }, &[])
}

#[test]
fn planted_faults_are_rejected() {
    const WRITES: &[Access] = &[Access::ReadWrite];
    planted(GOOD, WRITES, FIELDS, 16).unwrap();
    let refused = |result: Check, words: &str| {
        let message = result.expect_err(words);
        assert!(message.contains(words), "{message}");
    };
    refused(planted("fn main() { let x: u32 = 1.5; }", WRITES, FIELDS, 16), "planted.wgsl:1");
    refused(planted(GOOD, &[Access::Read], FIELDS, 16), "`y` is ReadWrite");
    refused(planted(GOOD, &[Access::ReadWrite, Access::Read], FIELDS, 16), "binding 2 is not in the shader");
    refused(planted(GOOD, &[], FIELDS, 16), "`y` has group 0 binding 1");
    refused(planted(GOOD, WRITES, FIELDS, 32), "the uniform has 16 bytes");
    refused(planted(GOOD, WRITES, &[("scale", 0), ("count", 4), ("pad0", 8), ("pad1", 12)], 16), "members are");
}
