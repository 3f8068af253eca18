// What stands between the matrix products of a training step, forward and backward.
//
// Plain loops over rows, for a compiler to vectorise. Each function is the torch code of `ops.py`, `attention.py`
// and `log_prob_head.py`, and the tests compare them. No allocation, no state; `train_ops.py` checks pointers and sizes.
// Sums run in an order that depends on the number of threads alone, so that the same machine gives the same bits.
//
// Letters: N tokens, D width, F inner width, J heads to turn, H heads, G key-value heads, R = H / G, K values of a head,
// B rows of a block, T tokens of a row, S = P + T keys of a row, C rows of logits, V vocabulary.

#include <omp.h>

#include "common.h"

namespace {

// out = x rms weight, with rms = 1 / sqrt(mean(x^2) + eps) kept
template <typename T>
void norm(const T* x, const T* weight, T* out, float* rms, int64_t N, int64_t D, float eps) {
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; ++n) {
        const T* row = x + n * D;
        const float scale = scale_of(row, D, eps);
        T* to = out + n * D;
        rms[n] = scale;
#pragma omp simd
        for (int64_t d = 0; d < D; ++d) store(to[d], load(row[d]) * scale * load(weight[d]));
    }
}

// dx = base + rms (g - h mean(g h)), with h = x rms and g = dy weight; dweight[thread] += dy h. `base` and `dweight` may
// be missing; `dweight` is threads x D.
template <typename T>
void norm_backward(const T* dy, const T* x, const float* rms, const T* weight, const T* base, T* dx, float* dweight,
                   int64_t N, int64_t D) {
#pragma omp parallel
    {
        float* mine = dweight ? dweight + omp_get_thread_num() * D : nullptr;
#pragma omp for schedule(static)
        for (int64_t n = 0; n < N; ++n) {
            const T *up = dy + n * D, *row = x + n * D;
            const float scale = rms[n];
            float dot = 0;
#pragma omp simd reduction(+ : dot)
            for (int64_t d = 0; d < D; ++d) dot += load(up[d]) * load(weight[d]) * load(row[d]);
            const float pull = dot * scale * scale / static_cast<float>(D);
            T* to = dx + n * D;
            if (base) {
                const T* more = base + n * D;
#pragma omp simd
                for (int64_t d = 0; d < D; ++d)
                    store(to[d], load(more[d]) + scale * (load(up[d]) * load(weight[d]) - load(row[d]) * pull));
            } else {
#pragma omp simd
                for (int64_t d = 0; d < D; ++d)
                    store(to[d], scale * (load(up[d]) * load(weight[d]) - load(row[d]) * pull));
            }
            if (mine) {
#pragma omp simd
                for (int64_t d = 0; d < D; ++d) mine[d] += load(up[d]) * load(row[d]) * scale;
            }
        }
    }
}

// Turn the first J heads of each row in place, by `sign` times their angles.
template <typename T>
void rotate(T* x, const float* cos, const float* sin, int64_t N, int64_t J, int64_t K, int64_t stride, float sign) {
    const int64_t half = K / 2;
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; ++n) {
        const float *c = cos + n * K, *s = sin + n * K;
        for (int64_t j = 0; j < J; ++j) {
            T* head = x + n * stride + j * K;
#pragma omp simd
            for (int64_t k = 0; k < half; ++k) {
                const float a = load(head[k]), b = load(head[k + half]);
                store(head[k], a * c[k] - b * s[k] * sign);
                store(head[k + half], b * c[k + half] + a * s[k + half] * sign);
            }
        }
    }
}

// out = silu(gate) up, where a row is gate and then up
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

// The gradient of gate and up in their place, and the output once more.
template <typename T>
void swiglu_backward(const T* dy, T* gate_up, T* out, int64_t N, int64_t F) {
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; ++n) {
        T *gate = gate_up + n * 2 * F, *up = gate + F;
        const T* d = dy + n * F;
        T* to = out + n * F;
#pragma omp simd
        for (int64_t f = 0; f < F; ++f) {
            const float x = load(gate[f]), u = load(up[f]), pull = load(d[f]);
            const float sigmoid = 1.0f / (1.0f + exponential(-x)), silu = x * sigmoid;
            store(to[f], silu * u);
            store(up[f], pull * silu);
            store(gate[f], pull * u * (sigmoid + silu * (1.0f - sigmoid)));
        }
    }
}

// out (G, B, R, T, K) from rows of x that are `stride` apart; zeros where the index is negative.
template <typename T>
void gather(const T* x, const int64_t* index, T* out, int64_t G, int64_t B, int64_t R, int64_t T_, int64_t K,
            int64_t stride) {
#pragma omp parallel for schedule(static) collapse(2)
    for (int64_t g = 0; g < G; ++g) {
        for (int64_t b = 0; b < B; ++b) {
            for (int64_t r = 0; r < R; ++r) {
                T* to = out + ((g * B + b) * R + r) * T_ * K;
                for (int64_t t = 0; t < T_; ++t, to += K) {
                    const int64_t row = index[b * T_ + t];
                    if (row < 0)
                        std::memset(to, 0, K * sizeof(T));
                    else
                        std::memcpy(to, x + row * stride + (g * R + r) * K, K * sizeof(T));
                }
            }
        }
    }
}

// The way back: rows of `out` are written where the index says. Of each row of `from`, the first `skip` are left out.
template <typename T>
void scatter(const T* from, const int64_t* index, T* out, int64_t G, int64_t B, int64_t R, int64_t T_, int64_t K,
             int64_t stride, int64_t skip) {
#pragma omp parallel for schedule(static) collapse(2)
    for (int64_t g = 0; g < G; ++g) {
        for (int64_t b = 0; b < B; ++b) {
            for (int64_t r = 0; r < R; ++r) {
                const T* at = from + (((g * B + b) * R + r) * (skip + T_) + skip) * K;
                for (int64_t t = 0; t < T_; ++t, at += K) {
                    const int64_t row = index[b * T_ + t];
                    if (row >= 0) std::memcpy(out + row * stride + (g * R + r) * K, at, K * sizeof(T));
                }
            }
        }
    }
}

// Row number i of the scores is token t = i mod T, which sees P + t + 1 keys: softmax(scale x score) over those, 0 behind.
template <typename T>
void seen_softmax(T* scores, int64_t rows, int64_t T_, int64_t S, float scale) {
    const int64_t P = S - T_;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows; ++i) {
        T* row = scores + i * S;
        const int64_t seen = P + i % T_ + 1;
        float top = -INFINITY, total = 0;
#pragma omp simd reduction(max : top)
        for (int64_t s = 0; s < seen; ++s) {
            const float value = load(row[s]);
            top = value > top ? value : top;
        }
#pragma omp simd reduction(+ : total)
        for (int64_t s = 0; s < seen; ++s) {
            const float value = exponential((load(row[s]) - top) * scale);
            total += value;
            store(row[s], value);
        }
        const float part = 1.0f / total;
#pragma omp simd
        for (int64_t s = 0; s < seen; ++s) store(row[s], load(row[s]) * part);
        for (int64_t s = seen; s < S; ++s) store(row[s], 0.0f);
    }
}

// grad = scale x weight x (grad - sum(grad x weight)), in place; 0 behind what is seen.
template <typename T>
void seen_softmax_backward(const T* weights, T* grad, int64_t rows, int64_t T_, int64_t S, float scale) {
    const int64_t P = S - T_;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows; ++i) {
        const T* row = weights + i * S;
        T* at = grad + i * S;
        const int64_t seen = P + i % T_ + 1;
        float dot = 0;
#pragma omp simd reduction(+ : dot)
        for (int64_t s = 0; s < seen; ++s) dot += load(row[s]) * load(at[s]);
#pragma omp simd
        for (int64_t s = 0; s < seen; ++s) store(at[s], load(row[s]) * (load(at[s]) - dot) * scale);
        for (int64_t s = seen; s < S; ++s) store(at[s], 0.0f);
    }
}

// Logits become probabilities in place; of each row the log-probability of its target, and the entropy.
template <typename T>
void head_softmax(T* logits, const int64_t* targets, float* log_probs, float* entropy, int64_t C, int64_t V,
                  float inverse) {
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < C; ++c) {
        T* row = logits + c * V;
        const float target = load(row[targets[c]]) * inverse;
        float top = -INFINITY, bad = 0;
#pragma omp simd reduction(max : top) reduction(+ : bad)
        for (int64_t v = 0; v < V; ++v) {
            const float value = load(row[v]);
            top = value > top ? value : top;
            bad += value * 0.0f;  // NaN where any logit is not finite: a comparison would pass over it
        }
        top *= inverse;
        float total = 0, mean = 0;
#pragma omp simd reduction(+ : total, mean)
        for (int64_t v = 0; v < V; ++v) {
            const float z = load(row[v]) * inverse - top;
            const float value = exponential(z);
            total += value;
            mean += value * z;
            store(row[v], value);
        }
        const float part = 1.0f / total, log_total = std::log(total);
#pragma omp simd
        for (int64_t v = 0; v < V; ++v) store(row[v], load(row[v]) * part);
        log_probs[c] = target - top - log_total + bad;
        entropy[c] = log_total - mean * part;
    }
}

}  // namespace

#define EXPORT(NAME, T)                                                                                                \
    extern "C" void norm_##NAME(const T* x, const T* weight, T* out, float* rms, int64_t N, int64_t D, float eps) {    \
        norm(x, weight, out, rms, N, D, eps);                                                                          \
    }                                                                                                                  \
    extern "C" void norm_backward_##NAME(const T* dy, const T* x, const float* rms, const T* weight, const T* base,    \
                                         T* dx, float* dweight, int64_t N, int64_t D) {                                \
        norm_backward(dy, x, rms, weight, base, dx, dweight, N, D);                                                    \
    }                                                                                                                  \
    extern "C" void rotate_##NAME(T* x, const float* cos, const float* sin, int64_t N, int64_t J, int64_t K,           \
                                  int64_t stride, float sign) {                                                        \
        rotate(x, cos, sin, N, J, K, stride, sign);                                                                    \
    }                                                                                                                  \
    extern "C" void swiglu_##NAME(const T* gate_up, T* out, int64_t N, int64_t F) { swiglu(gate_up, out, N, F); }      \
    extern "C" void swiglu_backward_##NAME(const T* dy, T* gate_up, T* out, int64_t N, int64_t F) {                    \
        swiglu_backward(dy, gate_up, out, N, F);                                                                       \
    }                                                                                                                  \
    extern "C" void gather_##NAME(const T* x, const int64_t* index, T* out, int64_t G, int64_t B, int64_t R,           \
                                  int64_t T_, int64_t K, int64_t stride) {                                             \
        gather(x, index, out, G, B, R, T_, K, stride);                                                                 \
    }                                                                                                                  \
    extern "C" void scatter_##NAME(const T* from, const int64_t* index, T* out, int64_t G, int64_t B, int64_t R,       \
                                   int64_t T_, int64_t K, int64_t stride, int64_t skip) {                              \
        scatter(from, index, out, G, B, R, T_, K, stride, skip);                                                       \
    }                                                                                                                  \
    extern "C" void seen_softmax_##NAME(T* scores, int64_t rows, int64_t T_, int64_t S, float scale) {                 \
        seen_softmax(scores, rows, T_, S, scale);                                                                      \
    }                                                                                                                  \
    extern "C" void seen_softmax_backward_##NAME(const T* weights, T* grad, int64_t rows, int64_t T_, int64_t S,       \
                                                 float scale) {                                                        \
        seen_softmax_backward(weights, grad, rows, T_, S, scale);                                                      \
    }                                                                                                                  \
    extern "C" void head_softmax_##NAME(T* logits, const int64_t* targets, float* log_probs, float* entropy,           \
                                        int64_t C, int64_t V, float inverse) {                                         \
        head_softmax(logits, targets, log_probs, entropy, C, V, inverse);                                              \
    }

EXPORT(f32, float)
EXPORT(bf16, bf16)
