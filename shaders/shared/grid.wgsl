// A grid wider than 65,535 workgroups is folded into two dimensions by `gpu::fold_groups`; this unfolds it.

/// Number of this workgroup in a folded grid. It may be past the last one: check it against the count.
fn folded_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
