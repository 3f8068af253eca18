// What stands between the matrix products of a decoding step: norms, rotary positions, attention over a cache, SwiGLU.
//
// Plain loops over rows, for a compiler to vectorise. Each function is the torch code of `llama_decoder.py`, and the tests
// compare them. No allocation, no state; pointers and sizes come from `decode_ops.py`, which checks them.
//
// Letters as in llama_decoder.py: N rows, D width, H heads, G key-value heads, K values of a head, S slots, F inner width.

#include "common.h"

namespace {

// x += delta (where there is one); out = x / rms(x) * weight
template <typename T>
void add_norm(T* x, const T* delta, const T* weight, T* out, int64_t N, int64_t D, float eps) {
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; ++n) {
        T* row = x + n * D;
        if (delta) {
            const T* add = delta + n * D;
#pragma omp simd
            for (int64_t d = 0; d < D; ++d) store(row[d], load(row[d]) + load(add[d]));
        }
        const float scale = scale_of(row, D, eps);
        T* to = out + n * D;
#pragma omp simd
        for (int64_t d = 0; d < D; ++d) store(to[d], load(row[d]) * scale * load(weight[d]));
    }
}

// Normalise (where there are weights) and rotate q and k in place; put k and v into slot `positions[n]` of row n.
template <typename T>
void rotate_store(T* qkv, const float* cos, const float* sin, const int64_t* positions, const T* q_norm, const T* k_norm,
                  T* keys, T* values, int64_t N, int64_t H, int64_t G, int64_t K, int64_t S, float eps) {
    const int64_t half = K / 2;
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; ++n) {
        T* row = qkv + n * (H + 2 * G) * K;
        const float *c = cos + n * K, *s = sin + n * K;
        for (int64_t j = 0; j < H + G; ++j) {
            T* head = row + j * K;
            const T* weight = j < H ? q_norm : k_norm;
            if (weight) {
                const float scale = scale_of(head, K, eps);
                for (int64_t k = 0; k < K; ++k) store(head[k], load(head[k]) * scale * load(weight[k]));
            }
#pragma omp simd
            for (int64_t k = 0; k < half; ++k) {
                const float a = load(head[k]), b = load(head[k + half]);
                store(head[k], a * c[k] - b * s[k]);
                store(head[k + half], b * c[k + half] + a * s[k + half]);
            }
        }
        for (int64_t g = 0; g < G; ++g) {
            const int64_t slot = ((n * G + g) * S + positions[n]) * K;
            std::memcpy(keys + slot, row + (H + g) * K, K * sizeof(T));
            std::memcpy(values + slot, row + (H + G + g) * K, K * sizeof(T));
        }
    }
}

// out[n] = softmax(q k^T / sqrt(K)) v over the slots 0 .. positions[n]; `scores` has room for N x G x (S + K).
template <typename T>
void attend(const T* qkv, const T* keys, const T* values, const int64_t* positions, float* scores, T* out, int64_t N,
            int64_t H, int64_t G, int64_t K, int64_t S) {
    const int64_t R = H / G;
    const float scale = 1.0f / std::sqrt(static_cast<float>(K));
#pragma omp parallel for schedule(static)
    for (int64_t ng = 0; ng < N * G; ++ng) {
        const int64_t n = ng / G, g = ng % G, length = positions[n] + 1;
        const T* key = keys + ng * S * K;
        const T* value = values + ng * S * K;
        float* mine = scores + ng * (S + K);
        for (int64_t r = 0; r < R; ++r) {
            const T* q = qkv + n * (H + 2 * G) * K + (g * R + r) * K;
            float top = -INFINITY;
            for (int64_t s = 0; s < length; ++s) {
                const T* k_s = key + s * K;
                float dot = 0;
#pragma omp simd reduction(+ : dot)
                for (int64_t k = 0; k < K; ++k) dot += load(q[k]) * load(k_s[k]);
                mine[s] = dot * scale;
                top = mine[s] > top ? mine[s] : top;
            }
            float total = 0;
#pragma omp simd reduction(+ : total)
            for (int64_t s = 0; s < length; ++s) {
                mine[s] = exponential(mine[s] - top);
                total += mine[s];
            }
            float* sum = mine + S;
            for (int64_t k = 0; k < K; ++k) sum[k] = 0;
            for (int64_t s = 0; s < length; ++s) {
                const T* v_s = value + s * K;
                const float weight = mine[s];
#pragma omp simd
                for (int64_t k = 0; k < K; ++k) sum[k] += weight * load(v_s[k]);
            }
            T* to = out + n * H * K + (g * R + r) * K;
            for (int64_t k = 0; k < K; ++k) store(to[k], sum[k] / total);
        }
    }
}

// out = silu(gate) * up, where a row is gate and then up
template <typename T>
void swiglu(const T* gate_up, T* out, int64_t N, int64_t F) {
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; ++n) {
        const T *gate = gate_up + n * 2 * F, *up = gate + F;
        T* to = out + n * F;
#pragma omp simd
        for (int64_t f = 0; f < F; ++f) {
            const float x = load(gate[f]);
            store(to[f], x / (1.0f + exponential(-x)) * load(up[f]));
        }
    }
}

}  // namespace

#define EXPORT(NAME, T)                                                                                                \
    extern "C" void add_norm_##NAME(T* x, const T* delta, const T* weight, T* out, int64_t N, int64_t D, float eps) {  \
        add_norm(x, delta, weight, out, N, D, eps);                                                                    \
    }                                                                                                                  \
    extern "C" void rotate_store_##NAME(T* qkv, const float* cos, const float* sin, const int64_t* positions,          \
                                        const T* q_norm, const T* k_norm, T* keys, T* values, int64_t N, int64_t H,    \
                                        int64_t G, int64_t K, int64_t S, float eps) {                                  \
        rotate_store(qkv, cos, sin, positions, q_norm, k_norm, keys, values, N, H, G, K, S, eps);                      \
    }                                                                                                                  \
    extern "C" void attend_##NAME(const T* qkv, const T* keys, const T* values, const int64_t* positions,              \
                                  float* scores, T* out, int64_t N, int64_t H, int64_t G, int64_t K, int64_t S) {      \
        attend(qkv, keys, values, positions, scores, out, N, H, G, K, S);                                              \
    }                                                                                                                  \
    extern "C" void swiglu_##NAME(const T* gate_up, T* out, int64_t N, int64_t F) { swiglu(gate_up, out, N, F); }

EXPORT(f32, float)
EXPORT(bf16, bf16)
