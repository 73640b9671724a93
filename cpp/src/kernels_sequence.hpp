/// The recursions of CTC over the frames of one sample, vectorized over its states.
///
/// They run in double for every input: a frame costs about a nanosecond a state, and what T frames lose stays far below a
/// float's rounding. Blanks and labels stand in arrays of their own, so that every neighbour is one place away.
#pragma once

#include <cstdint>

#include "ndloss/losses/ctc.hpp"
#include "ndloss/prefetch.hpp"
#include "sequence_table.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

using math::Scaled;

/// An array of scaled numbers.
struct Numbers {
  double* mantissa;
  double* exponent;

  NDLOSS_INLINE Scaled<double> get(std::int64_t i) const { return {mantissa[i], exponent[i]}; }
  NDLOSS_INLINE void set(std::int64_t i, const Scaled<double>& number) const {
    mantissa[i] = number.mantissa;
    exponent[i] = number.exponent;
  }
};

/// e^x as number i.
NDLOSS_INLINE void set_exp(double* mantissa, double* exponent, std::int64_t i, double x) {
  const Scaled<double> number = math::scaled_exp(x);
  mantissa[i] = number.mantissa;
  exponent[i] = number.exponent;
}

NDLOSS_INLINE void normalize_at(double* mantissa, double* exponent, std::int64_t i) {
  const Scaled<double> number = math::normalized(Scaled<double>{mantissa[i], exponent[i]});
  mantissa[i] = number.mantissa;
  exponent[i] = number.exponent;
}

/// The states of one frame.
struct States {
  Numbers blank;
  Numbers label;
};

/// How many frames before it is read one is asked for.
inline constexpr std::int64_t frames_ahead = 16;

/// A sample's scratch, by what it holds.
template <class T>
class CtcWork {
 public:
  NDLOSS_INLINE CtcWork(const CtcSample& one, std::int64_t row_count) : sample(one), width(ctc_width(one.labels)) {
    const std::int64_t each = width + 2 * ctc_margin;
    double* at = one.numbers + ctc_margin;
    p = {at, at + each};
    weighted = {{at + 2 * each, at + 3 * each}, {at + 4 * each, at + 5 * each}};
    differs = at + 6 * each;
    occupied = at + 7 * each;
    rows = at + 8 * each;
    p_blank = math::scaled_one<double>();
    for (std::int64_t i = 0; i < width + ctc_margin; ++i) {
      differs[i] = i > 0 && i < one.labels && one.label[i] != one.label[i - 1] ? 1.0 : 0.0;
    }
    for (std::int64_t row = 0; row < row_count; ++row) {
      const States states = row_at(row);
      clear_margins(states.blank);
      clear_margins(states.label);
    }
  }

  NDLOSS_INLINE States row_at(std::int64_t row) const {
    const std::int64_t each = width + 2 * ctc_margin;
    double* at = rows + row * ctc_row(width);
    return {{at, at + each}, {at + 2 * each, at + 3 * each}};
  }

  NDLOSS_INLINE void clear(const Numbers& numbers, std::int64_t begin, std::int64_t end) const {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) {
      numbers.set(i, math::scaled_zero<double>());
    }
  }

  NDLOSS_INLINE void clear_margins(const Numbers& numbers) const {
    clear(numbers, -ctc_margin, 0);
    clear(numbers, width, width + ctc_margin);
  }

  NDLOSS_INLINE const T* frame(std::int64_t t) const {
    return reinterpret_cast<const T*>(sample.log_probs + t * sample.frame_stride);
  }

  /// Asks memory for what read_frame(t) reads: the whole frame, unless its labels are few. Frames stand a batch apart, too far
  /// for the processor to see what comes.
  NDLOSS_INLINE void fetch_frame(std::int64_t t) const {
    if (t < 0 || t >= sample.frames) {
      return;
    }
    const T* from = frame(t);
    constexpr std::int64_t line = line_numbers<T>;
    if (sample.classes / line <= sample.labels) {
      for (std::int64_t c = 0; c < sample.classes; c += line) {
        prefetch(from + c);
      }
      prefetch(from + sample.classes - 1);
    } else {
      for (std::int64_t i = 0; i < sample.labels; ++i) {
        prefetch(from + sample.label[i]);
      }
      prefetch(from + sample.blank);
    }
  }

  /// The probabilities of a frame's labels and its blank; 0 beyond the last label.
  NDLOSS_INLINE void read_frame(std::int64_t t) {
    const T* from = frame(t);
    double* const mantissa = p.mantissa;
    double* const x = p.exponent;
    for (std::int64_t i = 0; i < sample.labels; ++i) {
      x[i] = static_cast<double>(from[sample.label[i]]);
    }
    for (std::int64_t i = sample.labels; i < width; ++i) {
      x[i] = -math::infinity<double>;
    }
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      set_exp(mantissa, x, i, x[i]);
    }
    p_blank = math::scaled_exp(static_cast<double>(from[sample.blank]));
  }

  NDLOSS_INLINE void normalize(const States& states) const {
    for (const Numbers& numbers : {states.blank, states.label}) {
      double* const mantissa = numbers.mantissa;
      double* const exponent = numbers.exponent;
#pragma omp simd
      for (std::int64_t i = 0; i < width; ++i) {
        normalize_at(mantissa, exponent, i);
      }
    }
  }

  const CtcSample& sample;
  std::int64_t width;
  Numbers p;
  Scaled<double> p_blank;
  States weighted;
  double* differs;
  double* occupied;
  double* rows;
};

NDLOSS_INLINE void forward_at(const States& from, const States& to, const Numbers& p, const Scaled<double>& p_blank,
                              const double* differs, std::int64_t i) {
  const Scaled<double> before = from.label.get(i - 1);
  const Scaled<double> blank = from.blank.get(i);
  to.blank.set(i, CTCLoss::into_blank(blank, before, p_blank));
  to.label.set(i, CTCLoss::into_label(from.label.get(i), blank, before, differs[i] > 0, p.get(i)));
}

/// alpha after every frame, in one row each or in two rows in turn; returns its normalized total. Row 0 stands before the first
/// frame: in the first blank without a cost, which makes the first frame one like all others.
template <bool keep, class T>
NDLOSS_INLINE Scaled<double> forward(CtcWork<T>& work) {
  const States start = work.row_at(0);
  work.clear(start.blank, 0, work.width);
  work.clear(start.label, 0, work.width);
  start.blank.set(0, math::scaled_one<double>());
  for (std::int64_t t = 0; t < work.sample.frames; ++t) {
    const States from = work.row_at(keep ? t : t % 2);
    const States to = work.row_at(keep ? t + 1 : (t + 1) % 2);
    work.fetch_frame(t + frames_ahead);
    work.read_frame(t);
    const Numbers p = work.p;
    const Scaled<double> p_blank = work.p_blank;
    const double* differs = work.differs;
#pragma omp simd
    for (std::int64_t i = 0; i < work.width; ++i) {
      forward_at(from, to, p, p_blank, differs, i);
    }
    if (t % math::normal_steps == math::normal_steps - 1) {
      work.normalize(to);
    }
  }
  const States last = work.row_at(keep ? work.sample.frames : work.sample.frames % 2);
  return normalized(last.blank.get(work.sample.labels) + last.label.get(work.sample.labels - 1));
}

template <class T>
double ctc_value(const CtcSample& sample) {
  CtcWork<T> work(sample, 2);
  return CTCLoss::value(forward<false>(work));
}

/// The classes that occur in a sample, each with the sum of its states' occupancies: the blank first.
struct Places {
  std::int64_t* of_label;  // of the classes
  std::int64_t* of_class;
  std::int64_t* class_at;
  std::int64_t* label_at;  // the first label of that class
  std::int64_t count;
};

NDLOSS_INLINE Places find_places(const CtcSample& sample, std::int64_t width) {
  Places places = {sample.places, sample.places + 3 * width, sample.places + width, sample.places + 2 * width, 1};
  for (std::int64_t i = 0; i < sample.labels; ++i) {
    places.of_class[sample.label[i]] = -1;
  }
  places.of_class[sample.blank] = 0;
  places.class_at[0] = sample.blank;
  for (std::int64_t i = 0; i < sample.labels; ++i) {
    const std::int64_t c = sample.label[i];
    if (places.of_class[c] < 0) {
      places.of_class[c] = places.count;
      places.class_at[places.count] = c;
      places.label_at[places.count] = i;
      ++places.count;
    }
    places.of_label[i] = places.of_class[c];
  }
  return places;
}

/// Occupancies of a frame and beta times its probabilities, at one place.
NDLOSS_INLINE double occupy_at(const States& alpha, const States& beta, const States& weighted, const Numbers& p,
                               const Scaled<double>& p_blank, double exponent, double reciprocal, double* occupied,
                               std::int64_t i) {
  const Scaled<double> blank = beta.blank.get(i);
  const Scaled<double> label = beta.label.get(i);
  occupied[i] = CTCLoss::occupancy(alpha.label.get(i), label, exponent, reciprocal);
  weighted.blank.set(i, blank * p_blank);
  weighted.label.set(i, label * p.get(i));
  return CTCLoss::occupancy(alpha.blank.get(i), blank, exponent, reciprocal);
}

NDLOSS_INLINE void backward_at(const States& weighted, const States& to, const double* differs, std::int64_t i) {
  const Scaled<double> label = weighted.label.get(i);
  to.blank.set(i, CTCLoss::out_of_blank(weighted.blank.get(i), label));
  to.label.set(i, CTCLoss::out_of_label(label, weighted.blank.get(i + 1), weighted.label.get(i + 1), differs[i + 1] > 0));
}

/// Writes one row of the gradient: the probabilities of all classes, then those that occur once more, less their occupancy.
template <class T>
NDLOSS_INLINE void write_row(const CtcWork<T>& work, std::int64_t t, const Places& places, const double* sums, double scale,
                             T* grad) {
  const T* from = work.frame(t);
  const T factor = static_cast<T>(scale);
#pragma omp simd
  for (std::int64_t c = 0; c < work.sample.classes; ++c) {
    grad[c] = factor * math::exp(from[c]);
  }
  for (std::int64_t k = 0; k < places.count; ++k) {
    const Scaled<double> p = k == 0 ? work.p_blank : work.p.get(places.label_at[k]);
    grad[places.class_at[k]] = static_cast<T>(scale * CTCLoss::slope(unscaled(p), sums[k]));
  }
}

template <class T>
NDLOSS_INLINE void fill_rows(std::int64_t frames, std::int64_t classes, T number, T* grad, std::int64_t grad_stride) {
  for (std::int64_t t = 0; t < frames; ++t) {
#pragma omp simd
    for (std::int64_t c = 0; c < classes; ++c) {
      grad[t * grad_stride + c] = number;
    }
  }
}

template <class T>
double ctc_gradient(const CtcSample& sample, double scale, bool zero_infinity, T* grad, std::int64_t grad_stride) {
  CtcWork<T> work(sample, sample.frames + 3);
  const Scaled<double> total = forward<true>(work);
  const double loss = CTCLoss::value(total);
  if (!(math::abs(loss) < math::infinity<double>)) {
    const bool zero = zero_infinity && loss == math::infinity<double>;
    fill_rows(sample.frames, sample.classes, zero ? T(0) : math::nan<T>, grad, grad_stride);
    return loss;
  }
  const Places places = find_places(sample, work.width);
  const States weighted = work.weighted;
  work.clear_margins(weighted.blank);
  work.clear_margins(weighted.label);
  const States beta = work.row_at(sample.frames + 1);
  work.clear(beta.blank, 0, work.width);
  work.clear(beta.label, 0, work.width);
  beta.blank.set(sample.labels, math::scaled_one<double>());
  if (sample.labels > 0) {
    beta.label.set(sample.labels - 1, math::scaled_one<double>());
  }
  double* sums = work.row_at(sample.frames + 2).blank.mantissa;
  const double reciprocal = 1.0 / total.mantissa;
  double* occupied = work.occupied;
  const double* differs = work.differs;
  for (std::int64_t t = sample.frames - 1; t >= 0; --t) {
    work.fetch_frame(t - frames_ahead);
    work.read_frame(t);
    const States alpha = work.row_at(t + 1);
    const Numbers p = work.p;
    const Scaled<double> p_blank = work.p_blank;
    double lanes[ctc_lanes] = {};
    for (std::int64_t first = 0; first < work.width; first += ctc_lanes) {
#pragma omp simd
      for (std::int64_t l = 0; l < ctc_lanes; ++l) {
        lanes[l] += occupy_at(alpha, beta, weighted, p, p_blank, total.exponent, reciprocal, occupied, first + l);
      }
    }
    sums[0] = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
    for (std::int64_t k = 1; k < places.count; ++k) {
      sums[k] = 0;
    }
    for (std::int64_t i = 0; i < sample.labels; ++i) {
      sums[places.of_label[i]] += occupied[i];
    }
    write_row(work, t, places, sums, scale, grad + t * grad_stride);
#pragma omp simd
    for (std::int64_t i = 0; i < work.width; ++i) {
      backward_at(weighted, beta, differs, i);
    }
    if (t % math::normal_steps == 0) {
      work.normalize(beta);
    }
  }
  return loss;
}

template <class T>
constexpr SequenceTable<T> sequence_table() {
  return {ctc_value<T>, ctc_gradient<T>};
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA
