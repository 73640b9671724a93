/// The weighting kernels of one ISA.
#pragma once

#include <cstddef>

namespace ndloss {

template <class T>
struct WeightTable {
  /// Σ w
  double (*factors)(const T* weight, std::ptrdiff_t size);
  /// values *= factors
  void (*multiply)(T* values, const T* factors, std::ptrdiff_t size);
  /// out = scale a b; without a second array, scale a
  void (*product)(const T* a, const T* b, T scale, T* out, std::ptrdiff_t size);
  /// values -= origin
  void (*subtract)(T* values, T origin, std::ptrdiff_t size);
  /// Σ values
  double (*total)(const T* values, std::ptrdiff_t size);
  /// keep = 1 where keep is not 0 and, with an operand, where that is not `ignored`; else 0
  void (*choose)(T* keep, const T* operand, T ignored, std::ptrdiff_t size);
  /// to = from where keep, else otherwise
  void (*guard)(const T* from, const T* keep, T otherwise, T* to, std::ptrdiff_t size);
  /// heads + tails += terms, compensated
  void (*add_compensated)(const T* terms, std::ptrdiff_t size, double* heads, double* tails);
};

}  // namespace ndloss
