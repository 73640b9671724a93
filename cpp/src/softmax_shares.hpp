/// What is the same for every row of a softmax call: coefficients per class, smoothing.
#pragma once

#include <cstdint>
#include <vector>

#include "ndloss/calls.hpp"
#include "ndloss/math.hpp"
#include "softmax_tile.hpp"

namespace ndloss {

template <class T>
struct Shares {
  std::vector<T> per_class;  // shared coefficients, or class weights
  double shared = 0;         // Σ of the shared coefficients
  T keep = 1;
  T add = 0;
  Coefficients kind = Coefficients::none;

  Shares(const RowCall& call, std::int64_t classes) {
    const double eps = call.label_smoothing;
    const double share = classes > 0 ? eps / static_cast<double>(classes) : 0.0;
    const bool smoothed = call.labels != nullptr && eps > 0;
    if (call.probabilities == nullptr && !smoothed) {
      return;
    }
    kind = smoothed ? Coefficients::shared : Coefficients::probabilities;
    keep = static_cast<T>(1.0 - eps);
    add = static_cast<T>(share);
    per_class.resize(static_cast<std::size_t>(classes));
    double lost = 0;
    for (std::size_t c = 0; c < per_class.size(); ++c) {
      const double weight = call.weight.empty() ? 1.0 : call.weight[c];
      const double coefficient = smoothed ? share * weight : weight;
      per_class[c] = static_cast<T>(coefficient);
      const math::Pair<double> sum = math::two_sum(shared, coefficient);
      shared = sum.head;
      lost += sum.tail;
    }
    shared += lost;
  }
};

}  // namespace ndloss
