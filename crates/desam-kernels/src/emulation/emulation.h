// CUDA's names for a host compiler: the threads of a block are fibers of one host thread, which run
// until they wait for each other. Shared memory starts as NaN. Asynchronous copies arrive when they are
// waited for.
//
// What this checks: a kernel's arithmetic, indices and barriers (a barrier that not all threads
// reach is an error; running the fibers backwards must not change a bit). What it does not: speed,
// and races that depend on the timing of real hardware.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

using std::isinf;
using std::isnan;

#define DEVICE inline
#define __restrict__ __restrict
#define __device__
#define __forceinline__ inline

namespace emulation {

struct Dim {
    unsigned x, y, z;
};

struct Copy {
    void *to;
    const void *from;
    bool wanted;
    int group;
};

constexpr int COPIES = 256;

// A thread of the block that is running.
struct Fiber {
    Dim thread;
    unsigned lane, warp;
    Copy copies[COPIES];
    int first_copy, last_copy, group;
};

extern thread_local Fiber *current;
extern thread_local Dim block_index, block_size, grid_size;

void wait_for_block();
// Deposits `bytes` of `value` and waits for the warp; afterwards `of_lane` gives each lane's.
void exchange(const void *value, size_t bytes);
const void *of_lane(unsigned lane);
// Ends the exchange.
void exchanged();
void wait_for_warp();
void *shared(const void *place, size_t bytes);
void *dynamic_shared();
[[noreturn]] void fail(const char *why);

using Call = void (*)(const void *kernel, void *const *arguments);

struct Kernel {
    const char *name;
    unsigned threads;
    const void *function;
    Call call;
    const size_t *sizes;
    size_t count;
};

void add(const Kernel &kernel);

template <class... A, size_t... I>
void call(void (*function)(A...), void *const *arguments, std::index_sequence<I...>) {
    function(*static_cast<A *>(arguments[I])...);
}

struct Registered {
    template <class... A> Registered(const char *name, unsigned threads, void (*function)(A...)) {
        static const size_t sizes[] = {sizeof(A)..., 0};
        const Call trampoline = [](const void *kernel, void *const *arguments) {
            call(reinterpret_cast<void (*)(A...)>(const_cast<void *>(kernel)), arguments,
                 std::index_sequence_for<A...>{});
        };
        add({name, threads, reinterpret_cast<const void *>(function), trampoline, sizes,
             sizeof...(A)});
    }
};

} // namespace emulation

#define threadIdx (::emulation::current->thread)
#define blockIdx (::emulation::block_index)
#define blockDim (::emulation::block_size)
#define gridDim (::emulation::grid_size)

#define KERNEL(name, threads, ...)                                              \
    static void name(__VA_ARGS__);                                              \
    static const ::emulation::Registered name##_registered(#name, threads, &name); \
    static void name(__VA_ARGS__)

#define SHARED(type, name, count)                \
    static thread_local const char name##_place = 0; \
    type *const name =                           \
        static_cast<type *>(::emulation::shared(&name##_place, sizeof(type) * (count)))

#define DYNAMIC_SHARED(type, name) type *name = static_cast<type *>(::emulation::dynamic_shared())

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }

inline void __syncthreads() { ::emulation::wait_for_block(); }
inline void __syncwarp(unsigned = 0xffffffffu) { ::emulation::wait_for_warp(); }

template <class T> T __shfl_sync(unsigned, T value, unsigned lane) {
    ::emulation::exchange(&value, sizeof value);
    std::memcpy(&value, ::emulation::of_lane(lane % 32), sizeof value);
    ::emulation::exchanged();
    return value;
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, unsigned bits) {
    return __shfl_sync(mask, value, ::emulation::current->lane ^ bits);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by) {
    const unsigned from = ::emulation::current->lane + by;
    return __shfl_sync(mask, value, from < 32 ? from : ::emulation::current->lane);
}
inline int __any_sync(unsigned, int predicate) {
    ::emulation::exchange(&predicate, sizeof predicate);
    int any = 0;
    for (unsigned lane = 0; lane < 32; lane++) {
        int other;
        std::memcpy(&other, ::emulation::of_lane(lane), sizeof other);
        any |= other;
    }
    ::emulation::exchanged();
    return any;
}

template <class T> T min(T a, T b) { return b < a ? b : a; }
template <class T> T max(T a, T b) { return a < b ? b : a; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
// Each rounded separately: nvcc fuses a product and a sum of the usual operators.
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float a, float b) { return a / b; }
template <class T> T __ldg(const T *p) { return *p; }
inline float __uint_as_float(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}
inline uint32_t __float_as_uint(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    return bits;
}

typedef float f32;
struct bf16 {
    uint16_t bits;
};
struct f16 {
    uint16_t bits;
};

inline float widen(float x) { return x; }
inline float widen(bf16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }
inline float widen(f16 x) {
    const uint32_t sign = (x.bits & 0x8000u) << 16, rest = x.bits & 0x7fffu;
    if (rest >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    // Numbers below the smallest normal one are multiples of 2^-24.
    const float size = rest < 0x400u ? std::ldexp(static_cast<float>(rest), -24)
                                     : __uint_as_float((rest << 13) + (112u << 23));
    return sign ? -size : size;
}

template <class T> T narrow(float x);
template <> inline float narrow<float>(float x) { return x; }
template <> inline bf16 narrow<bf16>(float x) {
    uint32_t bits = __float_as_uint(x);
    if (std::isnan(x)) return {0x7fff};
    bits += 0x7fffu + (bits >> 16 & 1u);
    return {static_cast<uint16_t>(bits >> 16)};
}
template <> inline f16 narrow<f16>(float x) {
    const uint16_t sign = std::signbit(x) ? 0x8000u : 0;
    const float size = std::fabs(x);
    if (std::isnan(x)) return {0x7fff};
    if (size >= 65520.0f) return {static_cast<uint16_t>(sign | 0x7c00u)};
    if (size < 0x1p-14f) {
        // nearbyint rounds ties to even.
        return {static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(size * 0x1p24f)))};
    }
    uint32_t bits = __float_as_uint(size) - (112u << 23);
    bits += 0xfffu + (bits >> 13 & 1u);
    return {static_cast<uint16_t>(sign | bits >> 13)};
}

template <class T> uint32_t narrow_pair(float first, float second) {
    return static_cast<uint32_t>(narrow<T>(first).bits) |
           static_cast<uint32_t>(narrow<T>(second).bits) << 16;
}

inline float fast_exp2(float x) { return std::exp2(x); }

// PTX's fragments: lane l holds of a the rows l / 4 and l / 4 + 8, columns 2 (l % 4) + {0, 1} and
// + {8, 9}; of b the same of its columns l / 4; of d rows l / 4 (+ 8), columns 2 (l % 4) + {0, 1}.
template <class T> void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    ::emulation::exchange(mine, sizeof mine);
    const unsigned lane = ::emulation::current->lane;
    // This lane's two rows of a and two columns of b, 16 numbers each.
    float left[2][16], right[2][16];
    const auto unpack = [](float (&to)[16], unsigned at, uint32_t pair) {
        to[at] = widen(T{static_cast<uint16_t>(pair)});
        to[at + 1] = widen(T{static_cast<uint16_t>(pair >> 16)});
    };
    for (unsigned quad = 0; quad < 4; quad++) {
        const auto of = [](unsigned of_row) {
            return static_cast<const uint32_t *>(::emulation::of_lane(of_row));
        };
        const uint32_t *rows = of(lane / 4 * 4 + quad);
        for (unsigned i = 0; i < 2; i++) {
            const uint32_t *column = of((2 * (lane % 4) + i) * 4 + quad);
            for (unsigned half = 0; half < 2; half++) {
                unpack(left[i], 8 * half + 2 * quad, rows[i + 2 * half]);
                unpack(right[i], 8 * half + 2 * quad, column[4 + half]);
            }
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        float sum = 0;
        for (unsigned k = 0; k < 16; k++) sum += left[i / 2][k] * right[i % 2][k];
        d[i] += sum;
    }
    ::emulation::exchanged();
}

inline void load_matrices_as(uint32_t (&r)[4], const void *row, bool transposed) {
    if (reinterpret_cast<uintptr_t>(row) % 16) ::emulation::fail("ldmatrix: a row is not aligned");
    ::emulation::exchange(&row, sizeof row);
    const unsigned lane = ::emulation::current->lane;
    for (unsigned matrix = 0; matrix < 4; matrix++) {
        uint16_t pair[2];
        for (unsigned i = 0; i < 2; i++) {
            unsigned line = lane / 4, column = 2 * (lane % 4) + i;
            if (transposed) std::swap(line, column);
            const uint16_t *from;
            std::memcpy(&from, ::emulation::of_lane(matrix * 8 + line), sizeof from);
            pair[i] = from[column];
        }
        r[matrix] = static_cast<uint32_t>(pair[0]) | static_cast<uint32_t>(pair[1]) << 16;
    }
    ::emulation::exchanged();
}
inline void load_matrices(uint32_t (&r)[4], const void *row) { load_matrices_as(r, row, false); }
inline void load_matrices_transposed(uint32_t (&r)[4], const void *row) {
    load_matrices_as(r, row, true);
}

inline void copy_async16(void *shared, const void *global, bool wanted) {
    ::emulation::Fiber &me = *::emulation::current;
    const uintptr_t both = reinterpret_cast<uintptr_t>(shared) |
                           (wanted ? reinterpret_cast<uintptr_t>(global) : 0);
    if (both % 16) ::emulation::fail("copy_async16: an address is not aligned");
    if (me.last_copy - me.first_copy == ::emulation::COPIES)
        ::emulation::fail("copy_async16: more copies in flight than the emulation holds");
    me.copies[me.last_copy++ % ::emulation::COPIES] = {shared, global, wanted, me.group};
}
inline void copy_async16_kept(void *shared, const void *global) {
    copy_async16(shared, global, true);
}
inline void commit_async() { ::emulation::current->group++; }
template <int pending> void wait_async() {
    ::emulation::Fiber &me = *::emulation::current;
    while (me.first_copy < me.last_copy) {
        const ::emulation::Copy &copy = me.copies[me.first_copy % ::emulation::COPIES];
        if (copy.group >= me.group - pending) break;
        if (copy.wanted) std::memcpy(copy.to, copy.from, 16);
        else std::memset(copy.to, 0, 16);
        me.first_copy++;
    }
}
