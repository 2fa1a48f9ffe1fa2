//! Where the bytes of a role lie, and how they are brought into row-major [N, K].

use std::ops::Range;

use kernels::{DType, Extent};

use crate::error::{ModelError, Result};
use crate::tensor::{TensorData, TensorInfo, TensorParts};

/// Where a role's bytes are: numbers index the checkpoint's tensors, shapes were checked when it opened.
#[derive(Clone)]
pub(super) enum Slot {
    /// A tensor as it is; experts' two outer sides fold into rows.
    Whole(usize),
    /// A matrix or vector whose rows llama.cpp interleaved within each head.
    Interleaved { tensor: usize, heads: usize },
    /// One matrix per expert.
    PerExpert(Vec<usize>),
    /// `rows` of each expert of a tensor [E, N, K].
    Part { tensor: usize, rows: Range<usize> },
    /// Columns `rows` of each expert of a tensor [E, K, N], turned into rows.
    TransposedPart { tensor: usize, rows: Range<usize> },
}

impl Slot {
    /// The tensors it reads.
    pub(super) fn tensors(&self) -> &[usize] {
        match self {
            Self::Whole(tensor) | Self::Interleaved { tensor, .. } | Self::Part { tensor, .. } | Self::TransposedPart { tensor, .. } => {
                std::slice::from_ref(tensor)
            }
            Self::PerExpert(tensors) => tensors,
        }
    }

    /// Whether its bytes are used where they lie, not copied.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Whole(_) | Self::PerExpert(_) | Self::Part { .. })
    }

    /// The tensor in which the `elements` of an expert lie and the first of them; `None` if they are not shared.
    pub(super) fn begin<'a>(&self, expert: usize, elements: usize, tensors: &'a [TensorInfo]) -> Option<(&'a TensorInfo, usize)> {
        match self {
            Self::Whole(tensor) => Some((tensors.get(*tensor)?, expert * elements)),
            Self::PerExpert(numbers) => Some((tensors.get(*numbers.get(expert)?)?, 0)),
            Self::Part { tensor, rows } => {
                let tensor = tensors.get(*tensor)?;
                let [_, stored, cols] = three(tensor).ok()?;
                Some((tensor, (expert * stored + rows.start) * cols))
            }
            Self::Interleaved { .. } | Self::TransposedPart { .. } => None,
        }
    }
}

/// The bytes of a slot as a matrix, shared with the files where [`Slot::is_shared`].
pub(super) fn assemble(slot: &Slot, tensors: &[TensorInfo]) -> Result<TensorParts> {
    Ok(match slot {
        Slot::Whole(tensor) => {
            let tensor = &tensors[*tensor];
            let (rows, cols) = folded(&tensor.shape);
            TensorParts { rows, cols, dtype: tensor.dtype, parts: vec![tensor.bytes.clone()] }
        }
        Slot::PerExpert(numbers) => {
            let first = &tensors[numbers[0]];
            if let Some(other) = numbers.iter().map(|&number| &tensors[number]).find(|other| other.dtype != first.dtype) {
                let message =
                    format!("is {}, `{}` is {}; experts of a layer must agree", other.dtype.name(), first.name, first.dtype.name());
                return Err(ModelError::unsupported(format!("{}: {}", other.file, other.name), message));
            }
            let (rows, cols) = folded(&first.shape);
            let parts = numbers.iter().map(|&number| tensors[number].bytes.clone()).collect();
            TensorParts { rows: rows * numbers.len(), cols, dtype: first.dtype, parts }
        }
        Slot::Part { tensor, rows } => {
            let tensor = &tensors[*tensor];
            let [experts, stored, cols] = three(tensor)?;
            let row = row_bytes(tensor, cols)?;
            let place = |row_of_all: usize| row_of_all as u64 * row as u64;
            let part = |expert: usize| tensor.bytes.slice(place(expert * stored + rows.start)..place(expert * stored + rows.end));
            let parts = (0..experts).map(part).collect::<Option<_>>();
            let parts = parts.ok_or_else(|| ModelError::shape(&tensor.name, &tensor.shape, &[experts, rows.end, cols]))?;
            TensorParts { rows: experts * rows.len(), cols, dtype: tensor.dtype, parts }
        }
        Slot::Interleaved { tensor, heads } => half_split(&tensors[*tensor], *heads)?.into(),
        Slot::TransposedPart { tensor, rows } => {
            let tensor = &tensors[*tensor];
            let [experts, cols, stored] = three(tensor)?;
            let bytes = match tensor.dtype {
                DType::F32 => turned::<4>(&tensor.bytes, cols, stored, rows.clone())?,
                DType::F16 | DType::BF16 => turned::<2>(&tensor.bytes, cols, stored, rows.clone())?,
                other => return Err(ModelError::unsupported(&tensor.name, format!("transposed experts stored as {}", other.name()))),
            };
            TensorData { rows: experts * rows.len(), cols, dtype: tensor.dtype, bytes: bytes.into() }.into()
        }
    })
}

/// Rows and columns of a shape, outer sides folded into rows.
fn folded(shape: &[usize]) -> (usize, usize) {
    match shape {
        [] => (1, 1),
        [cols] => (1, *cols),
        [rows @ .., cols] => (rows.iter().product(), *cols),
    }
}

fn three(tensor: &TensorInfo) -> Result<[usize; 3]> {
    tensor.shape.as_slice().try_into().map_err(|_| ModelError::shape(&tensor.name, &tensor.shape, &[0, 0, 0]))
}

fn row_bytes(tensor: &TensorInfo, cols: usize) -> Result<usize> {
    tensor.dtype.row_bytes(cols).ok_or_else(|| ModelError::shape(&tensor.name, &tensor.shape, &[0, 0, tensor.dtype.block_len()]))
}

/// Each expert [K, S] → rows `rows` of its transpose [S, K]. One expert is read at a time.
fn turned<const N: usize>(bytes: &Extent, cols: usize, stored: usize, rows: Range<usize>) -> Result<Vec<u8>> {
    let size = (cols * stored * N) as u64;
    let experts = bytes.len().checked_div(size).unwrap_or(0);
    let mut out = Vec::with_capacity(experts as usize * rows.len() * cols * N);
    let mut buffer = vec![];
    for expert in 0..experts {
        let elements = bytes.get(expert * size..(expert + 1) * size, &mut buffer)?.as_chunks::<N>().0;
        for row in rows.clone() {
            for col in 0..cols {
                out.extend_from_slice(&elements[col * stored + row]);
            }
        }
    }
    Ok(out)
}

/// Undoes the converter's interleaving: it stores row i·D/2 + j of a head (i: half, j: pair) as row 2j + i, so that rotary pairs
/// lie side by side; ours are half a head apart. Whole rows move, so block formats need no unpacking.
/// One head is read at a time.
fn half_split(tensor: &TensorInfo, heads: usize) -> Result<TensorData> {
    let (rows, cols) = match tensor.shape.as_slice() {
        [rows] => (*rows, 1), // a bias: rows of one value
        shape => folded(shape),
    };
    let len = tensor.bytes.len() as usize;
    let (row, half) = (len / rows, rows / heads / 2);
    let mut bytes = Vec::with_capacity(len);
    let mut buffer = vec![];
    for head in 0..heads {
        let place = |head: usize| (head * 2 * half) as u64 * row as u64;
        let stored = tensor.bytes.get(place(head)..place(head + 1), &mut buffer)?;
        for to in 0..2 * half {
            let from = (2 * (to % half) + to / half) * row;
            bytes.extend_from_slice(&stored[from..from + row]);
        }
    }
    let (rows, cols) = if tensor.shape.len() == 1 { (1, rows) } else { (rows, cols) };
    Ok(TensorData { rows, cols, dtype: tensor.dtype, bytes: bytes.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], values: &[f32]) -> TensorInfo {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        TensorInfo { name: "t".into(), dtype: DType::F32, shape: shape.to_vec(), bytes: bytes.into(), file: "f".into(), offset: 0 }
    }

    fn values(slot: Slot, tensors: &[TensorInfo]) -> (usize, usize, Vec<f32>) {
        let data = assemble(&slot, tensors).unwrap().joined().unwrap();
        (data.rows, data.cols, data.to_f32().unwrap())
    }

    #[test]
    fn interleaved_rows_come_back_in_halves() {
        // Two heads of width 4: the converter stored rows 0 2 1 3 of each.
        let matrix = tensor(&[8, 1], &[0., 2., 1., 3., 4., 6., 5., 7.]);
        assert_eq!(values(Slot::Interleaved { tensor: 0, heads: 2 }, &[matrix]), (8, 1, (0..8).map(|v| v as f32).collect()));
        let bias = tensor(&[4], &[0., 2., 1., 3.]);
        assert_eq!(values(Slot::Interleaved { tensor: 0, heads: 1 }, &[bias]), (1, 4, vec![0., 1., 2., 3.]));
    }

    #[test]
    fn fused_experts_come_apart_either_way_round() {
        // Two experts, I = 1, C = 3: gate rows 1xx, up rows 2xx.
        let fused = tensor(&[2, 2, 3], &[100., 101., 102., 200., 201., 202., 110., 111., 112., 210., 211., 212.]);
        let turned = tensor(&[2, 3, 2], &[100., 200., 101., 201., 102., 202., 110., 210., 111., 211., 112., 212.]);
        let up = (2, 3, vec![200., 201., 202., 210., 211., 212.]);
        assert_eq!(values(Slot::Part { tensor: 0, rows: 1..2 }, &[fused]), up);
        assert_eq!(values(Slot::TransposedPart { tensor: 0, rows: 1..2 }, &[turned]), up);
    }

    #[test]
    fn experts_are_stacked_in_order() {
        let experts = [tensor(&[1, 2], &[1., 2.]), tensor(&[1, 2], &[3., 4.])];
        assert_eq!(values(Slot::PerExpert(vec![1, 0]), &experts), (2, 2, vec![3., 4., 1., 2.]));
    }
}
