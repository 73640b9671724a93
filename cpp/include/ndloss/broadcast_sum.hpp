/// The gradient of a broadcast operand: what its elements' copies have, summed over the copies.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ndloss/dtype.hpp"
#include "ndloss/views.hpp"

namespace ndloss {

/// Sums of numbers that come in C order of one shape, a slab after the other, over the dimensions in which a smaller shape has
/// 1 (or lacks). They are compensated, in double, in an order that the shapes alone decide: not the slabs, nor the threads.
///
/// Sums that share no number with what comes later are written at once, so that only those of the dimensions after the first
/// summed one need memory: 16 bytes each.
class BroadcastSum {
 public:
  BroadcastSum(std::span<const std::int64_t> from, std::span<const std::int64_t> shape, const Output& to, int threads);

  /// The next numbers, as many as there are left at most.
  void add(const float* terms, std::int64_t count) { add_terms(terms, count); }
  void add(const double* terms, std::int64_t count) { add_terms(terms, count); }

  /// Whether every number has come, and every sum is written.
  [[nodiscard]] bool complete() const { return written_ == to_.size; }

 private:
  /// The sums of one period.
  struct Sums {
    std::vector<double> heads;
    std::vector<double> tails;
    std::vector<double> lane_heads;
    std::vector<double> lane_tails;
    std::int64_t seen = 0;
  };

  [[nodiscard]] Sums cleared() const;
  [[nodiscard]] std::int64_t slot_of(std::int64_t run) const;
  void close_lanes(Sums& sums, std::int64_t slot) const;
  void write(Sums& sums, std::int64_t period) const;

  template <class T>
  void add_terms(const T* terms, std::int64_t count);
  template <class T>
  void advance(Sums& sums, const T* terms, std::int64_t count, int threads) const;
  template <class T>
  void add_periods(const T* terms, std::int64_t first, std::int64_t count, int threads) const;
  template <class T>
  void add_short(const T* terms, std::int64_t first, std::int64_t count) const;
  template <class T>
  void add_rows(double* heads, double* tails, std::int64_t first, const T* terms, std::int64_t count, int threads) const;

  Output to_;
  int threads_;
  std::int64_t period_ = 1;  // numbers that go to the same sums
  std::int64_t slots_ = 1;   // those sums
  std::int64_t run_ = 1;     // numbers of a run: `rows` of `width` sums
  std::int64_t width_ = 1;
  std::int64_t lanes_ = 1;             // rows that are added side by side
  std::vector<std::int64_t> extents_;  // of the runs of a period
  std::vector<std::int64_t> strides_;  // in sums
  Sums open_;
  std::int64_t written_ = 0;
};

}  // namespace ndloss
