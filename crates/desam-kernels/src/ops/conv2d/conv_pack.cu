// Packs the weights of a 3×3 convolution in the order in which the implicit-GEMM kernels read them,
// padded with zeros.
#include "device.cuh"

namespace {

constexpr uint32_t TAPS = 9;

// Index of the weight of (output, input, tap). With `flipped`, that of the tap mirrored at the centre;
// with the two strides exchanged as well, the input gradient becomes a convolution.
template <class W> struct Weights {
    const W *numbers;
    uint32_t outputs, inputs, of_output, of_input, flipped;

    DEVICE float at(uint32_t output, uint32_t input, uint32_t tap) const {
        if (output >= outputs || input >= inputs) return 0;
        const size_t first =
            static_cast<size_t>(output) * of_output + static_cast<size_t>(input) * of_input;
        return widen(numbers[first + (flipped ? TAPS - 1 - tap : tap)]);
    }
};

// [outputs / 64][inputs / 16][tap][4][lane] × 8 elements: a lane's fragment, four registers, of
// mma's 16 × 16 operand. A block packs all taps, one warp each.
template <class W, class T> DEVICE void pack_tiles(const Weights<W> &weights, uint4 *packed) {
    const uint32_t chunks = (weights.inputs + 15) / 16;
    const uint32_t m = blockIdx.x % 4, chunk = blockIdx.x / 4 % chunks;
    const uint32_t group = blockIdx.x / 4 / chunks;
    const uint32_t lane = threadIdx.x % WARP, tap = threadIdx.x / WARP;
    const uint32_t output = group * 64 + m * 16 + lane / 4, input = chunk * 16 + 2 * (lane % 4);
    const auto word = [&](uint32_t down, uint32_t right) {
        return narrow_pair<T>(weights.at(output + down, input + right, tap),
                              weights.at(output + down, input + right + 1, tap));
    };
    const size_t tile = (static_cast<size_t>(group) * chunks + chunk) * TAPS + tap;
    packed[(tile * 4 + m) * WARP + lane] = make_uint4(word(0, 0), word(8, 0), word(0, 8), word(8, 8));
}

// [outputs / 64][input][tap][64], f32.
template <class W> DEVICE void pack_rows(const Weights<W> &weights, float *packed) {
    const uint32_t at = blockIdx.x * blockDim.x + threadIdx.x;
    const uint32_t output = at % 64, input = at / 64 % weights.inputs;
    const uint32_t group = at / 64 / weights.inputs;
    if (group >= (weights.outputs + 63) / 64) return;
    float *to = packed + static_cast<size_t>(at / 64) * TAPS * 64 + output;
    for (uint32_t tap = 0; tap < TAPS; tap++)
        to[tap * 64] = weights.at(group * 64 + output, input, tap);
}

} // namespace

#define PACK_TILES(W, T)                                                                         \
    KERNEL(conv_pack_##W##_##T, 288, const W *weight, uint4 *packed, uint32_t outputs,           \
           uint32_t inputs, uint32_t of_output, uint32_t of_input, uint32_t flipped) {            \
        pack_tiles<W, T>(Weights<W>{weight, outputs, inputs, of_output, of_input, flipped}, packed); \
    }

PACK_TILES(f32, bf16)
PACK_TILES(f32, f16)
PACK_TILES(bf16, bf16)
PACK_TILES(f16, f16)

KERNEL(conv_pack_f32_f32, 256, const f32 *weight, f32 *packed, uint32_t outputs, uint32_t inputs,
       uint32_t of_output, uint32_t of_input, uint32_t flipped) {
    pack_rows(Weights<f32>{weight, outputs, inputs, of_output, of_input, flipped}, packed);
}
