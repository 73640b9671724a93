/// The weighting kernels of one ISA.
#pragma once

#include <cstddef>

namespace ndloss {

/// Σ w v with what it has lost, and Σ w.
struct WeightedSum {
  double sum;
  double carry;
  double weight;
};

template <class T>
struct WeightTable {
  WeightedSum (*sum)(const T* value, const T* weight, std::ptrdiff_t size);
  /// values *= factors
  void (*multiply)(T* values, const T* factors, std::ptrdiff_t size);
  /// out = scale a b; without a second array, scale a
  void (*product)(const T* a, const T* b, T scale, T* out, std::ptrdiff_t size);
  /// values -= origin
  void (*subtract)(T* values, T origin, std::ptrdiff_t size);
};

}  // namespace ndloss
