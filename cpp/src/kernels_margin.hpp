/// The inner loops of the margin losses: hinges of every class against a row's targets, summed over a tile of rows.
///
/// As in the softmax family short rows run across (lanes are rows), long rows along (lanes are classes); which one depends on
/// the number of classes alone. A target's own score is replaced by -inf: never a violation, so that no loop asks which classes
/// are targets. So are the classes that fill up the last lanes of a row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "margin_tile.hpp"
#include "ndloss/lanes.hpp"
#include "ndloss/losses/multi_margin.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

static_assert(tile_rows == lanes);

constexpr int power(MarginKind kind) { return kind == MarginKind::one_squared ? 2 : 1; }

/// Classes that an along kernel holds in L1 at a time: whole runs.
inline constexpr std::ptrdiff_t margin_chunk = 2048;
static_assert(margin_chunk % (lanes * run) == 0);

/// A sum of slopes that are small whole numbers: exact.
template <class T>
struct Count {
  T head = 0;
};

template <class T>
NDLOSS_INLINE Count<T> operator+(const Count<T>& a, const Count<T>& b) {
  return {a.head + b.head};
}

/// What some classes add to a lane.
template <int P, class T>
struct HingeTally {
  Tally<T> value;
  std::conditional_t<P == 1, Count<T>, Tally<T>> slope;
};

template <int P, class T>
NDLOSS_INLINE HingeTally<P, T> operator+(const HingeTally<P, T>& a, const HingeTally<P, T>& b) {
  return {a.value + b.value, a.slope + b.slope};
}

/// The slopes of one target: across, of one row per lane; along, of one row over all lanes.
template <int P, class T>
struct SlopeLanes : WideLanes<T> {
  NDLOSS_INLINE void add(int l, const Tally<T>& term) { WideLanes<T>::add(l, widen(term)); }

  NDLOSS_INLINE double joined() {
    const math::Pair<double> sum = this->join();
    return math::joined(sum.head, sum.tail);
  }
};

template <class T>
struct SlopeLanes<1, T> {
  T head[lanes];

  NDLOSS_INLINE void clear() {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      head[l] = 0;
    }
  }

  NDLOSS_INLINE void add(int l, const Count<T>& term) { head[l] += term.head; }

  NDLOSS_INLINE double at(int l) const { return static_cast<double>(head[l]); }

  NDLOSS_INLINE double joined() {
#pragma GCC unroll 8
    for (int half = lanes / 2; half > 0; half /= 2) {
#pragma omp simd
      for (int l = 0; l < half; ++l) {
        head[l] += head[l + half];
      }
    }
    return static_cast<double>(head[0]);
  }
};

/// The edges of one target per row.
template <class T>
struct EdgeLanes {
  T head[lanes];
  T tail[lanes];
  T times[lanes];

  NDLOSS_INLINE void set(int l, T margin, T score) {
    const MarginEdge<T> edge = MultiMarginLoss::edge(margin, score);
    head[l] = edge.head;
    tail[l] = edge.tail;
  }
};

/// One class of one row against one target. Its slope is added to those of the targets before.
template <MarginKind K, MarginJob J, class T>
NDLOSS_INLINE HingeTally<power(K), T> observe(const MarginEdge<T>& edge, T times, T score, T& slope) {
  const HingeTerm<T> term = MultiMarginLoss::hinge<power(K)>(edge, score);
  HingeTally<power(K), T> tally;
  if constexpr (K == MarginKind::several) {
    tally.value.head = times * term.value;
    tally.slope.head = times * term.slope;
  } else {
    tally.value.head = term.value;
    tally.slope.head = term.slope;
  }
  if constexpr (J == MarginJob::gradient) {
    slope = K == MarginKind::several ? slope + tally.slope.head : tally.slope.head;
  }
  return tally;
}

// ---- across: classes in order, lanes across the rows ----

template <MarginKind K, MarginJob J, int Number, class T>
NDLOSS_INLINE void observe_across(const MarginTile<T>& tile, const EdgeLanes<T>& edges, std::ptrdiff_t c, int l,
                                  WideLanes<T>& values, SlopeLanes<power(K), T>& slopes) {
  const MarginEdge<T> edge{edges.head[l], edges.tail[l]};
  const T times = K == MarginKind::several ? edges.times[l] : T(1);
  const auto sum = pairwise<Number>([&](int k) __attribute__((always_inline)) {
    const std::ptrdiff_t i = (c + k) * lanes + l;
    T unused = 0;
    return observe<K, J>(edge, times, tile.numbers[i], J == MarginJob::gradient ? tile.output[i] : unused);
  });
  values.add(l, widen(sum.value));
  if constexpr (J == MarginJob::gradient) {
    slopes.add(l, sum.slope);
  }
}

/// Second derivatives from the slopes of a tile, of which a target's is not positive.
template <class T>
[[gnu::noinline]] void curvature_across(const MarginTile<T>& given) {
  const MarginTile<T> tile = given;
  T sum[lanes];
  for (int l = 0; l < lanes; ++l) {
    sum[l] = 0;
  }
  for (std::ptrdiff_t c = 0; c < tile.classes; ++c) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      const T curvature = MultiMarginLoss::curvature(tile.output[c * lanes + l]);
      sum[l] += curvature;
      tile.curvature[c * lanes + l] = tile.coefficient[l] * curvature;
    }
  }
  for (int l = 0; l < tile.rows; ++l) {
    if (tile.count[l] > 0) {
      tile.curvature[tile.target[l * tile.target_stride] * lanes + l] = tile.coefficient[l] * sum[l];
    }
  }
}

template <MarginKind K, MarginJob J, class T>
void tile_across(const MarginTile<T>& given) {
  const MarginTile<T> tile = given;
  // A target that a row does not have scores inf: no class comes near it.
  T score[short_row][lanes];
  std::ptrdiff_t most = 0;
  for (int l = 0; l < tile.rows; ++l) {
    for (std::ptrdiff_t k = 0; k < tile.count[l]; ++k) {
      T& own = tile.numbers[tile.target[l * tile.target_stride + k] * lanes + l];
      score[k][l] = own;
      own = -math::infinity<T>;
    }
    most = tile.count[l] > most ? tile.count[l] : most;
  }
  for (int l = 0; l < lanes; ++l) {
    for (std::ptrdiff_t k = l < tile.rows ? tile.count[l] : 0; k < most; ++k) {
      score[k][l] = math::infinity<T>;
    }
  }
  if (J == MarginJob::gradient && (K == MarginKind::several || most == 0)) {
    for (std::ptrdiff_t c = 0; c < tile.classes; ++c) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        tile.output[c * lanes + l] = 0;
      }
    }
  }

  WideLanes<T> values;
  values.clear();
  for (std::ptrdiff_t k = 0; k < most; ++k) {
    EdgeLanes<T> edges;
    SlopeLanes<power(K), T> slopes;
    slopes.clear();
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      edges.set(l, tile.margin, score[k][l]);
    }
    if constexpr (K == MarginKind::several) {
      for (int l = 0; l < lanes; ++l) {
        edges.times[l] = l < tile.rows && k < tile.count[l] ? tile.times[l * tile.target_stride + k] : T(0);
      }
    }
    std::ptrdiff_t c = 0;
    for (; c + run <= tile.classes; c += run) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        observe_across<K, J, run>(tile, edges, c, l, values, slopes);
      }
    }
    for (; c < tile.classes; ++c) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        observe_across<K, J, 1>(tile, edges, c, l, values, slopes);
      }
    }
    if constexpr (J == MarginJob::gradient) {
      for (int l = 0; l < tile.rows; ++l) {
        if (k < tile.count[l]) {
          tile.output[tile.target[l * tile.target_stride + k] * lanes + l] = static_cast<T>(0.0 - slopes.at(l));
        }
      }
    }
  }
  if constexpr (J == MarginJob::gradient && K == MarginKind::one_squared) {
    if (tile.curvature != nullptr) {
      curvature_across(tile);
    }
  }
  if constexpr (J == MarginJob::gradient) {
    T coefficient[lanes];  // copied, because the output might be where they stand
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      coefficient[l] = tile.coefficient[l];
    }
    for (std::ptrdiff_t c = 0; c < tile.classes; ++c) {
      T* const output = tile.output + c * lanes;
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        output[l] *= coefficient[l];
      }
    }
  }
  for (int l = 0; l < tile.rows; ++l) {
    tile.value[l] = values.at(l);
  }
}

// ---- along: one row, lanes along the classes ----

template <MarginKind K, MarginJob J, int Number, class T>
NDLOSS_INLINE void observe_along(const T* x, T* slope, const MarginEdge<T>& edge, T times, std::ptrdiff_t c, int l,
                                 WideLanes<T>& values, SlopeLanes<power(K), T>& slopes) {
  const auto sum = pairwise<Number>([&](int k) __attribute__((always_inline)) {
    const std::ptrdiff_t i = c + l + k * lanes;
    T unused = 0;
    return observe<K, J>(edge, times, x[i], J == MarginJob::gradient ? slope[i] : unused);
  });
  values.add(l, widen(sum.value));
  if constexpr (J == MarginJob::gradient) {
    slopes.add(l, sum.slope);
  }
}

/// One chunk, of whole lanes, against one target; returns the sum of its slopes.
template <MarginKind K, MarginJob J, class T>
NDLOSS_INLINE double fold_chunk(const T* x, T* slope, std::ptrdiff_t size, T margin, T score, T times, WideLanes<T>& values) {
  const MarginEdge<T> edge = MultiMarginLoss::edge(margin, score);
  SlopeLanes<power(K), T> slopes;
  slopes.clear();
  std::ptrdiff_t c = 0;
  for (; c + lanes * run <= size; c += lanes * run) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_along<K, J, run>(x, slope, edge, times, c, l, values, slopes);
    }
  }
  for (; c < size; c += lanes) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_along<K, J, 1>(x, slope, edge, times, c, l, values, slopes);
    }
  }
  return J == MarginJob::gradient ? slopes.joined() : 0.0;
}

/// Some numbers of a row as stored.
template <class T>
NDLOSS_INLINE void read_classes(const MarginTile<T>& tile, int r, std::ptrdiff_t first, std::ptrdiff_t size, T* to) {
  const char* from = tile.row[r] + first * tile.class_stride;
  if (tile.pack != nullptr) {
    tile.pack(from, tile.class_stride, size, to, 1);
    return;
  }
  const T* x = reinterpret_cast<const T*>(from);
#pragma omp simd
  for (std::ptrdiff_t c = 0; c < size; ++c) {
    to[c] = x[c];
  }
}

template <class T>
NDLOSS_INLINE T read_class(const MarginTile<T>& tile, int r, std::ptrdiff_t c) {
  T x = 0;
  read_classes(tile, r, c, 1, &x);
  return x;
}

template <class T>
NDLOSS_INLINE void write_class(const MarginRows<T>& rows, int r, std::ptrdiff_t c, T x) {
  char* to = rows.row[r] + c * rows.item;
  if (rows.unpack != nullptr) {
    rows.unpack(&x, 1, to);
  } else {
    *reinterpret_cast<T*>(to) = x;
  }
}

/// Puts out a chunk of second derivatives, given its slopes; returns their sum without the coefficient, a small
/// whole number: exact.
template <class T>
[[gnu::noinline]] double curvature_chunk(const MarginTile<T>& tile, int r, std::ptrdiff_t first, std::ptrdiff_t size,
                                         const T* slope) {
  const T coefficient = tile.coefficient[r];
  char* to = tile.second.row[r] + first * tile.second.item;
  T line[margin_chunk];
  T* out = tile.second.unpack != nullptr ? line : reinterpret_cast<T*>(to);
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::ptrdiff_t c = 0; c < size; ++c) {
    const T curvature = MultiMarginLoss::curvature(slope[c]);
    sum += curvature;
    out[c] = coefficient * curvature;
  }
  if (tile.second.unpack != nullptr) {
    tile.second.unpack(out, size, to);
  }
  return static_cast<double>(sum);
}

/// Puts out a chunk of gradients.
template <class T>
NDLOSS_INLINE void emit_chunk(const MarginTile<T>& tile, int r, std::ptrdiff_t first, std::ptrdiff_t size, T* slope) {
  const T coefficient = tile.coefficient[r];
  char* to = tile.out.row[r] + first * tile.out.item;
  T* out = tile.out.unpack != nullptr ? slope : reinterpret_cast<T*>(to);
#pragma omp simd
  for (std::ptrdiff_t c = 0; c < size; ++c) {
    out[c] = coefficient * slope[c];
  }
  if (tile.out.unpack != nullptr) {
    tile.out.unpack(slope, size, to);
  }
}

template <MarginKind K, MarginJob J, class T>
void tile_along(const MarginTile<T>& given) {
  const MarginTile<T> tile = given;
  T copy[margin_chunk];
  T slope[J == MarginJob::gradient ? margin_chunk : 1];
  for (int r = 0; r < tile.rows; ++r) {
    const std::int64_t* target = tile.target + r * tile.target_stride;
    const std::ptrdiff_t count = tile.count[r];
    const T* times = K == MarginKind::several ? tile.times + r * tile.target_stride : nullptr;
    double only = 0;
    double curvatures = 0;
    double* sums = K == MarginKind::several ? tile.slopes : &only;
    if constexpr (K == MarginKind::several && J == MarginJob::gradient) {
      for (std::ptrdiff_t k = 0; k < count; ++k) {
        sums[k] = 0;
      }
    }
    WideLanes<T> values;
    values.clear();
    for (std::ptrdiff_t first = 0; first < tile.classes; first += margin_chunk) {
      const std::ptrdiff_t rest = tile.classes - first;
      const std::ptrdiff_t size = rest < margin_chunk ? rest : margin_chunk;
      const std::ptrdiff_t filled = (size + lanes - 1) / lanes * lanes;
      bool in_place = tile.pack == nullptr && filled == size;
      for (std::ptrdiff_t k = 0; k < count && in_place; ++k) {
        in_place = target[k] < first || target[k] >= first + size;
      }
      const T* x = copy;
      if (in_place) {
        x = reinterpret_cast<const T*>(tile.row[r]) + first;
      } else {
        read_classes(tile, r, first, size, copy);
        for (std::ptrdiff_t c = size; c < filled; ++c) {
          copy[c] = -math::infinity<T>;
        }
        for (std::ptrdiff_t k = 0; k < count; ++k) {
          if (target[k] >= first && target[k] < first + size) {
            copy[target[k] - first] = -math::infinity<T>;
          }
        }
      }
      if (J == MarginJob::gradient && (K == MarginKind::several || count == 0)) {
#pragma omp simd
        for (std::ptrdiff_t c = 0; c < filled; ++c) {
          slope[c] = 0;
        }
      }
      for (std::ptrdiff_t k = 0; k < count; ++k) {
        const T score = read_class(tile, r, target[k]);
        const T often = K == MarginKind::several ? times[k] : T(1);
        const double sum = fold_chunk<K, J>(x, slope, filled, tile.margin, score, often, values);
        if constexpr (J == MarginJob::gradient) {
          sums[k] += sum;
        }
      }
      if (J == MarginJob::gradient && K == MarginKind::one_squared && tile.second.item != 0) {
        curvatures += curvature_chunk(tile, r, first, size, slope);
      }
      if constexpr (J == MarginJob::gradient) {
        emit_chunk(tile, r, first, size, slope);
      }
    }
    if constexpr (J == MarginJob::gradient) {
      for (std::ptrdiff_t k = 0; k < count; ++k) {
        write_class(tile.out, r, target[k], tile.coefficient[r] * static_cast<T>(0.0 - sums[k]));
        if (K == MarginKind::one_squared && tile.second.item != 0) {
          write_class(tile.second, r, target[k], tile.coefficient[r] * static_cast<T>(curvatures));
        }
      }
    }
    const math::Pair<double> sum = values.join();
    tile.value[r] = math::joined(sum.head, sum.tail);
  }
}

bool labels_inside(const std::int64_t* labels, std::ptrdiff_t count, std::int64_t lowest, std::int64_t classes) {
  const auto shift = static_cast<std::uint64_t>(-lowest);
  const std::uint64_t end = static_cast<std::uint64_t>(classes) + shift;
  std::uint64_t outside = 0;
#pragma omp simd reduction(| : outside)
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    outside |= static_cast<std::uint64_t>(labels[i]) + shift >= end ? 1U : 0U;
  }
  return outside == 0;
}

// ---- the table ----

template <MarginJob J, MarginKind K, class T>
constexpr void enter(MarginTable<T>& table) {
  const auto job = static_cast<int>(J);
  const auto kind = static_cast<int>(K);
  table.short_rows[job][kind] = tile_across<K, J, T>;
  table.long_rows[job][kind] = tile_along<K, J, T>;
}

template <class T>
constexpr MarginTable<T> margin_table() {
  MarginTable<T> table{};
  enter<MarginJob::value, MarginKind::one>(table);
  enter<MarginJob::value, MarginKind::one_squared>(table);
  enter<MarginJob::value, MarginKind::several>(table);
  enter<MarginJob::gradient, MarginKind::one>(table);
  enter<MarginJob::gradient, MarginKind::one_squared>(table);
  enter<MarginJob::gradient, MarginKind::several>(table);
  return table;
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA
