// Summing the gradient of a broadcast operand to the operand's shape, a slab at a time.
#include "ndloss/broadcast_sum.hpp"

#include <algorithm>

#include "kernel_table.hpp"
#include "ndloss/math.hpp"
#include "parallel.hpp"
#include "softmax_tile.hpp"
#include "store.hpp"

namespace ndloss {
namespace {

/// Sums that stand side by side are added to by a kernel from so many on.
constexpr std::int64_t kernel_width = 8;

/// Long runs of fewer sums than this are added in as many lanes, which are joined at the run's end.
constexpr std::int64_t lane_width = 512;
constexpr std::int64_t laned_run = 4 * lane_width;

/// Sums that a thread has for itself at least where threads share a run: whole cache lines.
constexpr std::int64_t least_share = 64;

/// Periods that a thread takes at a time hold about so many numbers.
constexpr std::int64_t task_numbers = 16384;

/// Nanoseconds of one thread per number, roughly.
constexpr double number_cost = 0.4;

/// Neighbouring dimensions that are both kept or both summed.
struct Group {
  bool kept;
  std::int64_t extent;
};

std::vector<Group> groups_of(std::span<const std::int64_t> from, std::span<const std::int64_t> shape) {
  std::vector<Group> groups;
  const std::size_t extra = from.size() - shape.size();
  for (std::size_t d = 0; d < from.size(); ++d) {
    if (from[d] == 1) {
      continue;
    }
    const bool kept = d >= extra && shape[d - extra] == from[d];
    if (!groups.empty() && groups.back().kept == kept) {
      groups.back().extent *= from[d];
    } else {
      groups.push_back({kept, from[d]});
    }
  }
  return groups;
}

void add_one(double& head, double& tail, double term) {
  const math::Pair<double> sum = math::two_sum(head, term);
  head = sum.head;
  tail += sum.tail;
}

/// Joins sums with what they have lost, unless they are not finite.
void close(double* heads, const double* tails, std::int64_t count) {
  for (std::int64_t k = 0; k < count; ++k) {
    heads[k] = heads[k] - heads[k] == 0 ? heads[k] + tails[k] : heads[k];
  }
}

}  // namespace

BroadcastSum::BroadcastSum(std::span<const std::int64_t> from, std::span<const std::int64_t> shape, const Output& to,
                           int threads)
    : to_(to), threads_(threads) {
  std::vector<Group> groups = groups_of(from, shape);
  if (!groups.empty() && groups.front().kept) {
    groups.erase(groups.begin());
  }
  for (const Group& group : groups) {
    period_ *= group.extent;
    slots_ *= group.kept ? group.extent : 1;
  }
  if (!groups.empty() && groups.back().kept) {
    width_ = groups.back().extent;
    groups.pop_back();
  }
  run_ = width_;
  if (!groups.empty()) {
    run_ *= groups.back().extent;
    groups.pop_back();
  }
  std::int64_t stride = width_;
  for (auto group = groups.rbegin(); group != groups.rend(); ++group) {
    extents_.push_back(group->extent);
    strides_.push_back(group->kept ? stride : 0);
    stride *= group->kept ? group->extent : 1;
  }
  if (width_ < lane_width / 2 && run_ >= laned_run) {
    lanes_ = lane_width / width_;
  }
  open_ = cleared();
  if (period_ == 0) {
    // Sums of nothing.
    for (std::int64_t k = 0; k < to_.size; k += slots_) {
      write(open_, k / slots_);
    }
    written_ = to_.size;
  }
}

BroadcastSum::Sums BroadcastSum::cleared() const {
  const auto slots = static_cast<std::size_t>(slots_);
  const auto lanes = static_cast<std::size_t>(lanes_ > 1 ? lanes_ * width_ : 0);
  return {std::vector<double>(slots), std::vector<double>(slots), std::vector<double>(lanes), std::vector<double>(lanes), 0};
}

std::int64_t BroadcastSum::slot_of(std::int64_t run) const {
  std::int64_t slot = 0;
  for (std::size_t d = 0; d < extents_.size(); ++d) {
    slot += run % extents_[d] * strides_[d];
    run /= extents_[d];
  }
  return slot;
}

template <class T>
void BroadcastSum::add_terms(const T* terms, std::int64_t count) {
  const int threads = threads_for(static_cast<std::int64_t>(static_cast<double>(count) * number_cost), threads_);
  while (count > 0) {
    const std::int64_t whole = open_.seen == 0 && slots_ <= task_numbers ? count / period_ : 0;
    if (whole == 0) {
      const std::int64_t n = std::min(count, period_ - open_.seen);
      advance(open_, terms, n, threads);
      terms += n;
      count -= n;
      if (open_.seen == period_) {
        write(open_, written_ / slots_);
        written_ += slots_;
      }
      continue;
    }
    add_periods(terms, written_ / slots_, whole, threads);
    terms += whole * period_;
    count -= whole * period_;
    written_ += whole * slots_;
  }
}

/// Adds whole periods, the first of them number `first`, and writes their sums.
template <class T>
void BroadcastSum::add_periods(const T* terms, std::int64_t first, std::int64_t count, int threads) const {
  const bool is_short = slots_ == 1 && lanes_ == 1;
  const std::int64_t tiles = std::max<std::int64_t>(task_numbers / (period_ * tile_rows), 1);
  const std::int64_t each = is_short ? tiles * tile_rows : std::max<std::int64_t>(task_numbers / period_, 1);
  std::vector<Sums> sums(static_cast<std::size_t>(is_short ? 0 : threads), is_short ? Sums() : cleared());
  auto task = [&](std::int64_t index, int thread) {
    const std::int64_t begin = index * each;
    const std::int64_t end = std::min(begin + each, count);
    if (is_short) {
      add_short(terms + begin * period_, first + begin, end - begin);
      return;
    }
    Sums& own = sums[static_cast<std::size_t>(thread)];
    for (std::int64_t k = begin; k < end; ++k) {
      advance(own, terms + k * period_, period_, 1);
      write(own, first + k);
    }
  };
  parallel_for((count + each - 1) / each, threads, task);
}

/// Periods with one sum each, several side by side: as many rows, whose numbers are added in order.
template <class T>
void BroadcastSum::add_short(const T* terms, std::int64_t first, std::int64_t count) const {
  constexpr std::int64_t columns = 64;
  T turned[columns * tile_rows];
  for (std::int64_t row = 0; row < count; row += tile_rows) {
    const std::int64_t rows = std::min<std::int64_t>(tile_rows, count - row);
    const T* from = terms + row * period_;
    double heads[tile_rows] = {};
    double tails[tile_rows] = {};
    for (std::int64_t left = 0; rows == tile_rows && left < period_; left += columns) {
      const std::int64_t n = std::min(columns, period_ - left);
      active_pack<T>().transpose(from + left, period_, n, turned, tile_rows);
      for (std::int64_t c = 0; c < n; ++c) {
        active_weight<T>().add_compensated(turned + c * tile_rows, tile_rows, heads, tails);
      }
    }
    for (std::int64_t r = 0; rows < tile_rows && r < rows; ++r) {
      for (std::int64_t c = 0; c < period_; ++c) {
        add_one(heads[r], tails[r], static_cast<double>(from[r * period_ + c]));
      }
    }
    close(heads, tails, rows);
    store_block(to_, first + row, rows, heads);
  }
}

/// Adds numbers of one period, in order.
template <class T>
void BroadcastSum::advance(Sums& sums, const T* terms, std::int64_t count, int threads) const {
  while (count > 0) {
    const std::int64_t within = sums.seen % run_;
    const std::int64_t n = std::min(count, run_ - within);
    const std::int64_t slot = extents_.empty() ? 0 : slot_of(sums.seen / run_);
    const bool laned = lanes_ > 1;
    double* heads = laned ? sums.lane_heads.data() : sums.heads.data() + slot;
    double* tails = laned ? sums.lane_tails.data() : sums.tails.data() + slot;
    add_rows(heads, tails, within % (lanes_ * width_), terms, n, threads);
    if (laned && within + n == run_) {
      close_lanes(sums, slot);
    }
    sums.seen += n;
    terms += n;
    count -= n;
  }
}

/// Adds numbers row by row to the sums of a run, the first of them to sum `first`. Threads share the columns.
template <class T>
void BroadcastSum::add_rows(double* heads, double* tails, std::int64_t first, const T* terms, std::int64_t count,
                            int threads) const {
  const std::int64_t width = lanes_ * width_;
  if (width < kernel_width) {
    for (std::int64_t i = 0, k = first; i < count; ++i, k = k + 1 < width ? k + 1 : 0) {
      add_one(heads[k], tails[k], static_cast<double>(terms[i]));
    }
    return;
  }
  const auto add = active_weight<T>().add_compensated;
  if (first > 0) {
    const std::int64_t n = std::min(count, width - first);
    add(terms, n, heads + first, tails + first);
    terms += n;
    count -= n;
  }
  const std::int64_t rows = count / width;
  const std::int64_t shares =
      rows > 0 && rows * width >= 2 * task_numbers ? std::clamp<std::int64_t>(width / least_share, 1, threads) : 1;
  const std::int64_t each = (width / shares + least_share - 1) / least_share * least_share;
  auto share = [&](std::int64_t index, int /*thread*/) {
    const std::int64_t from = index * each;
    const std::int64_t n = shares == 1 ? width : std::min(each, width - from);
    for (std::int64_t row = 0; row < rows && n > 0; ++row) {
      add(terms + row * width + from, n, heads + from, tails + from);
    }
  };
  parallel_for(shares, static_cast<int>(shares), share);
  if (rows * width < count) {
    add(terms + rows * width, count - rows * width, heads, tails);
  }
}

/// Joins the lanes of a run in order, and clears them.
void BroadcastSum::close_lanes(Sums& sums, std::int64_t slot) const {
  for (std::int64_t k = 0; k < lanes_ * width_; ++k) {
    const auto lane = static_cast<std::size_t>(k);
    const auto to = static_cast<std::size_t>(slot + k % width_);
    add_one(sums.heads[to], sums.tails[to], sums.lane_heads[lane]);
    sums.tails[to] += sums.lane_tails[lane];
  }
  std::fill(sums.lane_heads.begin(), sums.lane_heads.end(), 0.0);
  std::fill(sums.lane_tails.begin(), sums.lane_tails.end(), 0.0);
}

/// Rounds the sums of a period to where they belong, and clears them.
void BroadcastSum::write(Sums& sums, std::int64_t period) const {
  close(sums.heads.data(), sums.tails.data(), slots_);
  store_block(to_, period * slots_, slots_, sums.heads.data());
  std::fill(sums.heads.begin(), sums.heads.end(), 0.0);
  std::fill(sums.tails.begin(), sums.tails.end(), 0.0);
  sums.seen = 0;
}

template void BroadcastSum::add_terms<float>(const float* terms, std::int64_t count);
template void BroadcastSum::add_terms<double>(const double* terms, std::int64_t count);

}  // namespace ndloss
