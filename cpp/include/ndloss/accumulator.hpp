/// A mergeable partial result of a reduction: what blocks, threads, chunks of a stream and workers all report.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "ndloss/inline.hpp"

namespace ndloss {

enum class Reduction : std::uint8_t { none, mean, sum };

/// An operand's value that the loss cannot take: where it is (the flat index of the loss element, in C order) and what it
/// is, recorded when it is seen, never read again. `value` holds a double's bits for a number outside its domain and the
/// label itself for a class index.
struct BadValue {
  std::int64_t index = -1;
  std::uint64_t value = 0;
  std::int8_t operand = -1;

  [[nodiscard]] bool found() const { return index >= 0; }

  /// The lower position wins; at one position the earlier operand.
  void merge(const BadValue& other) {
    if (other.found() && (!found() || other.index < index || (other.index == index && other.operand < operand))) {
      *this = other;
    }
  }
};

/// Sum of losses with its rounding error, sum of divisor weights, number of loss elements kept, first bad value.
struct Accumulator {
  double sum = 0;
  double carry = 0;  // what `sum` has lost to rounding; ignored when `sum` is not finite
  double weight = 0;
  double weight_carry = 0;
  std::int64_t count = 0;
  BadValue bad;

  /// Joins two partial results. Associative and commutative up to the last bit of a double-double.
  Accumulator& operator+=(const Accumulator& other) {
    add(sum, carry, other.sum);
    carry += other.carry;
    add(weight, weight_carry, other.weight);
    weight_carry += other.weight_carry;
    count += other.count;
    bad.merge(other.bad);
    return *this;
  }

  /// Makes so many elements share one unit of the divisor.
  void share_divisor(std::int64_t elements) {
    weight /= static_cast<double>(elements);
    weight_carry /= static_cast<double>(elements);
  }

  [[nodiscard]] double total() const { return joined(sum, carry); }
  [[nodiscard]] double divisor() const { return joined(weight, weight_carry); }

  /// The reduced loss in double; a mean whose divisor is 0 is NaN.
  [[nodiscard]] double compute(Reduction reduction) const {
    if (reduction != Reduction::mean) {
      return total();
    }
    return divisor() != 0 ? total() / divisor() : std::numeric_limits<double>::quiet_NaN();
  }

 private:
  static double joined(double head, double tail) { return std::isfinite(head) ? head + tail : head; }

  static void add(double& head, double& tail, double term) {
    const double sum = head + term;
    const double term_part = sum - head;
    tail += (head - (sum - term_part)) + (term - term_part);
    head = sum;
  }
};

}  // namespace ndloss
