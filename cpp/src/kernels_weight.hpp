/// Weights of blocks: Σ w v and Σ w, and gradients times what multiplies them. The same for every loss, so that losses need
/// no kernels of their own for it.
#pragma once

#include <cstddef>

#include "ndloss/lanes.hpp"
#include "weight_table.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

template <class T>
NDLOSS_INLINE Plain factor_at(const T* factors, std::ptrdiff_t i) {
  return {static_cast<double>(factors[i])};
}

template <class T>
NDLOSS_INLINE void factor_run(const T* factors, std::ptrdiff_t i, int l, double* sums) {
  sums[l] += pairwise<run>([&](int r) __attribute__((always_inline)) { return factor_at(factors, i + l + r * lanes); }).head;
}

template <class T>
double sum_of_factors(const T* factors, std::ptrdiff_t size) {
  constexpr std::ptrdiff_t step = std::ptrdiff_t{lanes} * run;
  double sums[lanes] = {};
  std::ptrdiff_t i = 0;
  for (; i + step <= size; i += step) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      factor_run(factors, i, l, sums);
    }
  }
  for (int l = 0; i < size; ++i, l = (l + 1) % lanes) {
    sums[l] += static_cast<double>(factors[i]);
  }
  double result = 0;
  for (const double sum : sums) {
    result += sum;
  }
  return result;
}

template <class T>
void multiply(T* values, const T* factors, std::ptrdiff_t size) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    values[i] *= factors[i];
  }
}

template <class T>
void product(const T* a, const T* b, T scale, T* out, std::ptrdiff_t size) {
  if (b == nullptr) {
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < size; ++i) {
      out[i] = scale * a[i];
    }
    return;
  }
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    out[i] = scale * a[i] * b[i];
  }
}

template <class T>
void distance_from(T* values, T origin, std::ptrdiff_t size) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    values[i] -= origin;
  }
}

template <class T>
double total(const T* values, std::ptrdiff_t size) {
  double sums[lanes] = {};
  std::ptrdiff_t i = 0;
  for (; i + lanes <= size; i += lanes) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      sums[l] += static_cast<double>(values[i + l]);
    }
  }
  for (int l = 0; i < size; ++i, ++l) {
    sums[l] += static_cast<double>(values[i]);
  }
  double result = 0;
  for (const double sum : sums) {
    result += sum;
  }
  return result;
}

template <class T>
void choose(T* keep, const T* operand, T ignored, std::ptrdiff_t size) {
  if (operand == nullptr) {
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < size; ++i) {
      keep[i] = keep[i] != T(0) ? T(1) : T(0);
    }
    return;
  }
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    const bool ignore = operand[i] == ignored;
    keep[i] = (keep[i] != T(0)) & !ignore ? T(1) : T(0);
  }
}

template <class T>
void guard(const T* from, const T* keep, T otherwise, T* to, std::ptrdiff_t size) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    const T x = from[i];
    to[i] = keep[i] != T(0) ? x : otherwise;
  }
}

template <class T>
void add_compensated(const T* terms, std::ptrdiff_t size, double* heads, double* tails) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    const math::Pair<double> sum = math::two_sum(heads[i], static_cast<double>(terms[i]));
    heads[i] = sum.head;
    tails[i] += sum.tail;
  }
}

template <class T>
constexpr WeightTable<T> weight_table() {
  return {sum_of_factors<T>, multiply<T>, product<T>, distance_from<T>, total<T>, choose<T>, guard<T>, add_compensated<T>};
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA
