/// Connectionist temporal classification of sequences without an alignment.
#pragma once

#include <cstdint>

#include "ndloss/inline.hpp"
#include "ndloss/math.hpp"
#include "ndloss/scaled.hpp"

namespace ndloss {

/// Minus the log of the summed probability of all alignments: frame by frame a class, which without repeats and blanks reads
/// as the labels y_0 ... y_{S-1}. The states of an alignment are blanks b_0 ... b_S with the labels l_0 ... l_{S-1} between:
///     alpha(b_i) <- (alpha(b_i) + alpha(l_{i-1})) p(blank)
///     alpha(l_i) <- (alpha(l_i) + alpha(b_i) + [y_i != y_{i-1}] alpha(l_{i-1})) p(y_i)
///     loss = -log(alpha(b_S) + alpha(l_{S-1})) after the last frame
///     beta, of the frames that follow, goes the same ways back from b_S and l_{S-1}
///     d loss / d logits_c = p_c - Σ_{states s of class c} alpha_s beta_s / e^-loss
/// with p = e^log_probs. The gradient is torch's: that of the logits of which log_probs is the log-softmax.
/// Domain: any log-probability, -inf included; NaN and +inf give NaN. No alignment: inf, or 0 with zero_infinity.
/// Source: A. Graves et al., Connectionist Temporal Classification (ICML 2006), equations 6 to 16; torch.nn.CTCLoss.
struct CTCLoss {
  std::int64_t blank = 0;
  bool zero_infinity = false;

  static constexpr const char* name = "ctc_loss";

  template <class V>
  using Number = math::Scaled<V>;

  /// Forward into a blank: from itself and from the label before it.
  template <class V>
  NDLOSS_INLINE static Number<V> into_blank(const Number<V>& blank, const Number<V>& label_before, const Number<V>& p) {
    return (blank + label_before) * p;
  }

  /// Forward into a label: from itself, from the blank before it, and past that from the label before if it is another one.
  template <class V>
  NDLOSS_INLINE static Number<V> into_label(const Number<V>& label, const Number<V>& blank, const Number<V>& label_before,
                                            bool differs, const Number<V>& p) {
    return sum(label, blank, select(differs, label_before, math::scaled_zero<V>())) * p;
  }

  /// Backward out of a blank and out of a label: the same ways. The arguments hold the probability of their own frame.
  template <class V>
  NDLOSS_INLINE static Number<V> out_of_blank(const Number<V>& blank, const Number<V>& label) {
    return blank + label;
  }

  template <class V>
  NDLOSS_INLINE static Number<V> out_of_label(const Number<V>& label, const Number<V>& blank_after,
                                              const Number<V>& label_after, bool differs) {
    return sum(label, blank_after, select(differs, label_after, math::scaled_zero<V>()));
  }

  /// alpha beta / total, at most 1; `total` is normalized and `reciprocal` that of its mantissa.
  template <class V>
  NDLOSS_INLINE static V occupancy(const Number<V>& alpha, const Number<V>& beta, V total_exponent, V reciprocal) {
    return unscaled(Number<V>{alpha.mantissa * beta.mantissa * reciprocal, alpha.exponent + beta.exponent - total_exponent});
  }

  template <class V>
  NDLOSS_INLINE static V value(const Number<V>& total) {
    return -scaled_log(total);
  }

  template <class V>
  NDLOSS_INLINE static V slope(V p, V occupancy) {
    return p - occupancy;
  }

  /// The loss as it is given out.
  template <class V>
  NDLOSS_INLINE V kept(V loss) const {
    return math::select(zero_infinity & (loss == math::infinity<V>), V(0), loss);
  }
};

}  // namespace ndloss
