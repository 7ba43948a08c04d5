//! The transforms that vectors go through, in the field order of Faiss' `index_write.cpp`.

use crate::error::{BuildError, ErrorKind, Result};
use crate::index_file::Parser;
use crate::index_file::node::Transform;

impl Parser<'_> {
    pub(crate) fn transform(&mut self) -> Result<Transform> {
        self.nested(Self::transform_inside)
    }

    fn transform_inside(&mut self) -> Result<Transform> {
        let at = self.cursor.offset();
        let fourcc = self.cursor.fourcc("a transform")?;
        let (kind, mut name) = match &fourcc.0 {
            b"rrot" => {
                self.linear()?;
                ("RandomRotationMatrix", "RR".to_owned())
            }
            b"LTra" => {
                self.linear()?;
                ("LinearTransform", "OPQ".to_owned())
            }
            b"PCAm" | b"PcAm" | b"Pcam" => ("PCAMatrix", self.principal_components(&fourcc.0)?),
            b"Viqm" => {
                self.cursor.i32("the iterations of ITQ")?;
                self.cursor.i32("the seed of ITQ")?;
                self.linear()?;
                ("ITQMatrix", "ITQ".to_owned())
            }
            b"Viqt" => {
                self.cursor.vector(4, "the mean of ITQ")?;
                self.cursor.flag("whether ITQ begins with a PCA")?;
                self.transform()?;
                self.transform()?;
                ("ITQTransform", "ITQ".to_owned())
            }
            b"RmDT" => {
                self.cursor.vector(4, "the map of dimensions")?;
                ("RemapDimensionsTransform", "Pad".to_owned())
            }
            b"VNrm" => {
                let norm = self.cursor.f32("the norm")?;
                ("NormalizationTransform", if norm == 2.0 { "L2norm".to_owned() } else { format!("L{norm}norm") })
            }
            b"VCnt" => {
                self.cursor.vector(4, "the mean")?;
                ("CenteringTransform", "Centering".to_owned())
            }
            b"HRot" => {
                self.cursor.i32("the seed of a Hadamard rotation")?;
                ("HadamardRotation", "HR".to_owned())
            }
            _ => {
                let text = format!("at byte {at}: '{fourcc}' is no transform of Faiss that this version knows");
                return Err(BuildError::new(ErrorKind::CorruptFile, format!("{} is damaged: {text}", self.uri)));
            }
        };
        let input_dimension = self.cursor.small("the input dimension of a transform")?;
        let output_dimension = self.cursor.small("the output dimension of a transform")?;
        let trained = self.cursor.flag("whether a transform is trained")?;
        if !matches!(kind, "NormalizationTransform" | "CenteringTransform" | "LinearTransform") {
            name += &output_dimension.to_string();
        }
        Ok(Transform { kind, name, input_dimension, output_dimension, trained })
    }

    fn linear(&mut self) -> Result<()> {
        self.cursor.flag("whether a transform has a bias")?;
        self.cursor.vector(4, "the matrix of a transform")?;
        self.cursor.vector(4, "the bias of a transform").map(drop)
    }

    fn principal_components(&mut self, fourcc: &[u8; 4]) -> Result<String> {
        let power = self.cursor.f32("the power of the eigenvalues")?;
        if fourcc == b"Pcam" {
            self.cursor.f32("the epsilon of a PCA")?;
        }
        let rotates = self.cursor.flag("whether a PCA rotates")?;
        if fourcc != b"PCAm" {
            self.cursor.i32("the balanced bins of a PCA")?;
        }
        for what in ["the mean of a PCA", "the eigenvalues of a PCA", "the components of a PCA"] {
            self.cursor.vector(4, what)?;
        }
        self.linear()?;
        Ok(format!("PCA{}{}", if power == -0.5 { "W" } else { "" }, if rotates { "R" } else { "" }))
    }
}
