//! SAM's mask decoder, word for word after its description, in double precision and elementary
//! operations alone: nothing of `desam-nn` is used.

use candle_core::{D, DType, Tensor};
use desam_core::PromptEmbedding;
use desam_nn::params::Tensors;

pub(crate) fn double(t: &Tensor) -> Tensor {
    t.detach().to_dtype(DType::F64).unwrap()
}

/// Outputs for `N` prompts.
pub(crate) struct PlainOutput {
    /// `[N, K, 4 G, 4 G]`
    pub(crate) masks: Tensor,
    /// `[N, K]`
    pub(crate) iou: Tensor,
}

pub(crate) struct PlainSam<'a> {
    weights: &'a Tensors,
    heads: usize,
}

fn layer_norm(x: &Tensor, (weight, bias): (&Tensor, &Tensor), eps: f64) -> Tensor {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1).unwrap()).unwrap();
    let variance = centred.sqr().unwrap().mean_keepdim(D::Minus1).unwrap();
    let normed = centred.broadcast_div(&(variance + eps).unwrap().sqrt().unwrap()).unwrap();
    normed.broadcast_mul(weight).unwrap().broadcast_add(bias).unwrap()
}

/// `x (1 + erf(x / √2)) / 2`.
fn gelu(x: &Tensor) -> Tensor {
    let erf = (x / 2f64.sqrt()).unwrap().erf().unwrap();
    (x * (erf + 1.0).unwrap().affine(0.5, 0.0).unwrap()).unwrap()
}

impl<'a> PlainSam<'a> {
    pub(crate) fn new(weights: &'a Tensors, heads: usize) -> Self {
        Self { weights, heads }
    }

    fn get(&self, name: &str) -> Tensor {
        double(&self.weights[&format!("mask_decoder.{name}")])
    }

    /// `[N, T, in]` → `[N, T, out]`.
    fn linear(&self, x: &Tensor, name: &str) -> Tensor {
        let weight = self.get(&format!("{name}.weight")).t().unwrap().contiguous().unwrap();
        let y = x.contiguous().unwrap().broadcast_matmul(&weight).unwrap();
        y.broadcast_add(&self.get(&format!("{name}.bias"))).unwrap()
    }

    fn norm(&self, x: &Tensor, name: &str) -> Tensor {
        let name = format!("transformer.{name}");
        let [weight, bias] = ["weight", "bias"].map(|p| self.get(&format!("{name}.{p}")));
        layer_norm(x, (&weight, &bias), 1e-5)
    }

    fn mlp(&self, x: &Tensor, name: &str, layers: usize) -> Tensor {
        let mut x = x.clone();
        for i in 0..layers {
            x = self.linear(&x, &format!("{name}.layers.{i}"));
            if i + 1 < layers {
                x = x.relu().unwrap();
            }
        }
        x
    }

    /// A head after the other: softmax(q kᵀ / √d) v.
    fn attention(&self, [q, k, v]: [&Tensor; 3], name: &str) -> Tensor {
        let name = format!("transformer.{name}");
        let [q, k, v] = [(q, "q_proj"), (k, "k_proj"), (v, "v_proj")]
            .map(|(x, p)| self.linear(x, &format!("{name}.{p}")));
        let width = q.dim(2).unwrap() / self.heads;
        let head = |i: usize| {
            let [q, k, v] =
                [&q, &k, &v].map(|x| x.narrow(2, i * width, width).unwrap().contiguous().unwrap());
            let kt = k.transpose(1, 2).unwrap().contiguous().unwrap();
            let scores = (q.matmul(&kt).unwrap() / (width as f64).sqrt()).unwrap();
            let largest = scores.max_keepdim(2).unwrap();
            let exp = scores.broadcast_sub(&largest).unwrap().exp().unwrap();
            let share = exp.broadcast_div(&exp.sum_keepdim(2).unwrap()).unwrap();
            share.matmul(&v).unwrap()
        };
        let heads: Vec<Tensor> = (0..self.heads).map(head).collect();
        self.linear(&Tensor::cat(&heads, 2).unwrap(), &format!("{name}.out_proj"))
    }

    fn block(
        &self,
        i: usize,
        [tokens, image]: [Tensor; 2],
        [tpe, ipe]: [&Tensor; 2],
    ) -> [Tensor; 2] {
        let at = |part: &str| format!("layers.{i}.{part}");
        let add = |a: &Tensor, b: &Tensor| a.broadcast_add(b).unwrap();
        let tokens = match i {
            0 => self.attention([&tokens, &tokens, &tokens], &at("self_attn")),
            _ => {
                let q = add(&tokens, tpe);
                add(&tokens, &self.attention([&q, &q, &tokens], &at("self_attn")))
            }
        };
        let tokens = self.norm(&tokens, &at("norm1"));
        let (q, k) = (add(&tokens, tpe), add(&image, ipe));
        let seen = self.attention([&q, &k, &image], &at("cross_attn_token_to_image"));
        let tokens = self.norm(&add(&tokens, &seen), &at("norm2"));
        let hidden = self.linear(&tokens, &format!("transformer.{}", at("mlp.lin1")));
        let out = self.linear(&hidden.relu().unwrap(), &format!("transformer.{}", at("mlp.lin2")));
        let tokens = self.norm(&add(&tokens, &out), &at("norm3"));
        let (q, k) = (add(&tokens, tpe), add(&image, ipe));
        let back = self.attention([&k, &q, &tokens], &at("cross_attn_image_to_token"));
        [tokens, self.norm(&add(&image, &back), &at("norm4"))]
    }

    /// 2×2, stride 2: pixel (y, x) becomes the block at (2y, 2x), place by place.
    fn up(&self, x: &Tensor, name: &str) -> Tensor {
        let weight = self.get(&format!("{name}.weight"));
        let (n, inputs, h, w) = x.dims4().unwrap();
        let outputs = weight.dim(1).unwrap();
        let rows = x.flatten_from(2).unwrap().transpose(1, 2).unwrap().contiguous().unwrap();
        let place = |dy: usize, dx: usize| {
            let kernel = weight.narrow(2, dy, 1).unwrap().narrow(3, dx, 1).unwrap();
            let kernel = kernel.reshape((inputs, outputs)).unwrap();
            let y = rows.broadcast_matmul(&kernel.contiguous().unwrap()).unwrap();
            let y = y.broadcast_add(&self.get(&format!("{name}.bias"))).unwrap();
            y.transpose(1, 2).unwrap().reshape((n, outputs, h, w)).unwrap()
        };
        let row = |dy: usize| {
            let pair = Tensor::stack(&[place(dy, 0), place(dy, 1)], 4).unwrap();
            pair.reshape((n, outputs, h, 2 * w)).unwrap()
        };
        let both = Tensor::stack(&[row(0), row(1)], 3).unwrap();
        both.reshape((n, outputs, 2 * h, 2 * w)).unwrap()
    }

    /// `embedding [B, E, G, G]`, `B` being 1 or `N`.
    pub(crate) fn run(
        &self,
        embedding: &Tensor,
        prompts: &PromptEmbedding,
        position: &Tensor,
    ) -> PlainOutput {
        let (n, e, g, _) = prompts.dense.dims4().unwrap();
        let rows = |t: &Tensor| t.flatten_from(2).unwrap().transpose(1, 2).unwrap();
        let own = Tensor::cat(&[self.get("iou_token.weight"), self.get("mask_tokens.weight")], 0)
            .unwrap();
        let k = own.dim(0).unwrap() - 1;
        let own = own.unsqueeze(0).unwrap().broadcast_as((n, k + 1, e)).unwrap();
        let start = Tensor::cat(&[own, double(&prompts.sparse)], 1).unwrap();
        let image = double(&prompts.dense).broadcast_add(&double(embedding)).unwrap();
        let ipe = rows(&double(position));
        let mut x = [start.clone(), rows(&image)];
        let mut i = 0;
        while self
            .weights
            .contains_key(&format!("mask_decoder.transformer.layers.{i}.norm1.weight"))
        {
            x = self.block(i, x, [&start, &ipe]);
            i += 1;
        }
        let [tokens, image] = x;
        let (q, keys) = ((&tokens + &start).unwrap(), image.broadcast_add(&ipe).unwrap());
        let last = self.attention([&q, &keys, &image], "final_attn_token_to_image");
        let tokens = self.norm(&(tokens + last).unwrap(), "norm_final_attn");

        let image = image.transpose(1, 2).unwrap().reshape((n, e, g, g)).unwrap();
        let x = self.up(&image, "output_upscaling.0");
        let channels_last = x.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
        let [weight, bias] =
            ["weight", "bias"].map(|p| self.get(&format!("output_upscaling.1.{p}")));
        let x = gelu(&layer_norm(&channels_last, (&weight, &bias), 1e-6));
        let x = self.up(&x.permute((0, 3, 1, 2)).unwrap(), "output_upscaling.3");
        let pixels = gelu(&x).flatten_from(2).unwrap();
        let mask = |i: usize| {
            let token = tokens.narrow(1, 1 + i, 1).unwrap();
            let hyper = self.mlp(&token, &format!("output_hypernetworks_mlps.{i}"), 3);
            hyper.matmul(&pixels).unwrap().reshape((n, 1, 4 * g, 4 * g)).unwrap()
        };
        let masks: Vec<Tensor> = (0..k).map(mask).collect();
        let depth = (0..9).filter(|i| {
            self.weights
                .contains_key(&format!("mask_decoder.iou_prediction_head.layers.{i}.weight"))
        });
        let iou = self.mlp(&tokens.narrow(1, 0, 1).unwrap(), "iou_prediction_head", depth.count());
        PlainOutput { masks: Tensor::cat(&masks, 1).unwrap(), iou: iou.squeeze(1).unwrap() }
    }
}
