/// Distances between two vectors: what a feature contributes, what the sums come to, and the slope of every feature.
///
/// A distance folds the features of a row into a few numbers, always in double: squares of floats neither overflow nor lose
/// digits there. `finish` makes the distance of them, and coefficients with which `slope_x` and `slope_y` give the derivative
/// for each feature of either vector, times a factor that the coefficients hold.
#pragma once

#include <cstdint>

#include "ndloss/inline.hpp"
#include "ndloss/math.hpp"
#include "ndloss/power.hpp"

namespace ndloss {

/// How features fold: summed, or by the largest (the least) with the number of those equal to it.
enum class FoldKind : std::uint8_t { sum, extreme };

/// The parameters of every distance; each reads its own.
struct DistanceParameters {
  double p = 2.0;
  double eps = 1e-6;
};

/// A term that is a product: who adds it to a sum need not round it first.
struct Product {
  double left;
  double right;

  NDLOSS_INLINE explicit operator double() const { return left * right; }
};

NDLOSS_INLINE double plus(double sum, double term) { return sum + term; }
NDLOSS_INLINE double plus(double sum, Product term) { return math::fma(term.left, term.right, sum); }

/// The terms of one feature, or their sums.
template <int Terms, class Term = double>
struct FeatureTerms {
  Term term[Terms];
};

/// A distance, and what its slopes are made of.
struct FoundDistance {
  double value;
  double coefficient[3];
};

NDLOSS_INLINE double sign_of(double v) { return math::select(v > 0.0, 1.0, math::select(v < 0.0, -1.0, 0.0)); }

/// ||x - y + eps||_1; its derivative is sign(x - y + eps), 0 at 0 and at NaN, as in torch.
struct ManhattanDistance {
  static constexpr FoldKind fold = FoldKind::sum;
  static constexpr int terms = 1;
  static constexpr bool needs_reference = false;
  DistanceParameters with;

  NDLOSS_INLINE FeatureTerms<1> observe(double x, double y, double /*reference*/) const {
    return {{math::abs((x - y) + with.eps)}};
  }
  NDLOSS_INLINE FoundDistance finish(const FeatureTerms<1>& sum, double /*reference*/, double factor) const {
    return {sum.term[0], {factor, 0, 0}};
  }
  NDLOSS_INLINE double value(const FeatureTerms<1>& sum, double /*reference*/) const { return sum.term[0]; }
  NDLOSS_INLINE double slope_x(double x, double y, double c0, double /*c1*/, double /*c2*/) const {
    return c0 * sign_of((x - y) + with.eps);
  }
  NDLOSS_INLINE double slope_y(double x, double y, double c0, double c1, double c2) const { return -slope_x(x, y, c0, c1, c2); }
};

/// ||x - y + eps||_2; its derivative is (x - y + eps) / norm, 0 where the norm is 0.
struct EuclideanDistance {
  static constexpr FoldKind fold = FoldKind::sum;
  static constexpr int terms = 1;
  static constexpr bool needs_reference = false;
  DistanceParameters with;

  NDLOSS_INLINE FeatureTerms<1, Product> observe(double x, double y, double /*reference*/) const {
    const double v = (x - y) + with.eps;
    return {{{v, v}}};
  }
  NDLOSS_INLINE double value(const FeatureTerms<1>& sum, double /*reference*/) const { return __builtin_sqrt(sum.term[0]); }
  NDLOSS_INLINE FoundDistance finish(const FeatureTerms<1>& sum, double reference, double factor) const {
    const double norm = value(sum, reference);
    return {norm, {math::select(norm == 0.0, 0.0, factor / norm), 0, 0}};
  }
  NDLOSS_INLINE double slope_x(double x, double y, double c0, double /*c1*/, double /*c2*/) const {
    return c0 * ((x - y) + with.eps);
  }
  NDLOSS_INLINE double slope_y(double x, double y, double c0, double c1, double c2) const { return -slope_x(x, y, c0, c1, c2); }
};

/// The largest (p = inf) or least (p = -inf) |x - y + eps|; the features that attain it share its derivative evenly.
struct ExtremeDistance {
  static constexpr FoldKind fold = FoldKind::extreme;
  static constexpr int terms = 2;
  static constexpr bool needs_reference = false;
  DistanceParameters with;

  /// What is maximal at the features that count.
  NDLOSS_INLINE FeatureTerms<2> observe(double x, double y, double /*reference*/) const {
    const double size = math::abs((x - y) + with.eps);
    return {{math::select(with.p > 0.0, size, -size), 1.0}};
  }
  NDLOSS_INLINE double value(const FeatureTerms<2>& best, double /*reference*/) const {
    const double size = math::select(with.p > 0.0, best.term[0], -best.term[0]);
    return math::select(best.term[1] == 0.0, 0.0, size);
  }
  NDLOSS_INLINE FoundDistance finish(const FeatureTerms<2>& best, double reference, double factor) const {
    const double norm = value(best, reference);
    return {norm, {factor / math::at_least(best.term[1], 1.0), norm, 0}};
  }
  NDLOSS_INLINE double slope_x(double x, double y, double c0, double c1, double /*c2*/) const {
    const double v = (x - y) + with.eps;
    return math::select(math::abs(v) == c1, c0 * sign_of(v), 0.0);
  }
  NDLOSS_INLINE double slope_y(double x, double y, double c0, double c1, double c2) const { return -slope_x(x, y, c0, c1, c2); }
};

/// (sum |v|^p)^(1/p), v = x - y + eps, for any real p; the number of non-zero v for p = 0. Powers are taken of |v| over the
/// row's largest |v| (the least for a negative p), the reference, so that they neither overflow nor vanish together.
///     d / dv = sign(v) (|v| / norm)^(p - 1), 0 where v or the norm is 0
struct PowerDistance {
  static constexpr FoldKind fold = FoldKind::sum;
  static constexpr int terms = 1;
  static constexpr bool needs_reference = true;
  DistanceParameters with;

  NDLOSS_INLINE static double usable(double reference) {
    return math::select((reference > 0.0) & (reference < math::infinity<double>), reference, 1.0);
  }
  NDLOSS_INLINE FeatureTerms<1> observe(double x, double y, double reference) const {
    const double size = math::abs((x - y) + with.eps);
    const double counted = math::select(size == 0.0, 0.0, 1.0);
    return {{math::select(with.p == 0.0, counted, math::power(size / usable(reference), with.p))}};
  }
  NDLOSS_INLINE double value(const FeatureTerms<1>& sum, double reference) const {
    return math::select(with.p == 0.0, sum.term[0],
                        math::select(reference == 0.0, 0.0, usable(reference) * math::root(sum.term[0], with.p)));
  }
  NDLOSS_INLINE FoundDistance finish(const FeatureTerms<1>& sum, double reference, double factor) const {
    const double norm = value(sum, reference);
    const bool flat = (with.p == 0.0) | (norm == 0.0);
    return {norm, {math::select(flat, 0.0, factor), math::select(flat, 1.0, norm), 0}};
  }
  NDLOSS_INLINE double slope_x(double x, double y, double c0, double c1, double /*c2*/) const {
    const double v = (x - y) + with.eps;
    const double slope = c0 * math::copysign(math::power(math::abs(v) / c1, with.p - 1.0), v);
    return math::select((v == 0.0) | (c0 == 0.0), math::select(c1 == c1, 0.0, c1), slope);
  }
  NDLOSS_INLINE double slope_y(double x, double y, double c0, double c1, double c2) const { return -slope_x(x, y, c0, c1, c2); }
};

/// cos = sum x y / (n_x n_y); d cos / dx = y / (n_x n_y) - cos x / (n_x m_x), with n what x is divided by and m what the
/// derivative of the norm divides by.
struct Cosine {
  static constexpr FoldKind fold = FoldKind::sum;
  static constexpr int terms = 3;
  static constexpr bool needs_reference = false;
  DistanceParameters with;

  NDLOSS_INLINE FeatureTerms<3, Product> observe(double x, double y, double /*reference*/) const {
    return {{{x, y}, {x, x}, {y, y}}};
  }
  NDLOSS_INLINE double slope_x(double x, double y, double c0, double c1, double /*c2*/) const { return c0 * y - c1 * x; }
  NDLOSS_INLINE double slope_y(double x, double y, double c0, double /*c1*/, double c2) const { return c0 * x - c2 * y; }
};

/// Cosine similarity with norms of at least eps. As in torch the gradient does not see that bound, and the norm's own
/// derivative is 0 at 0.
struct CosineSimilarity : Cosine {
  NDLOSS_INLINE static double inverse(double norm) { return math::select(norm == 0.0, 0.0, 1.0 / norm); }
  NDLOSS_INLINE double value(const FeatureTerms<3>& sum, double /*reference*/) const {
    const double n_x = math::at_least(__builtin_sqrt(sum.term[1]), with.eps);
    const double n_y = math::at_least(__builtin_sqrt(sum.term[2]), with.eps);
    return sum.term[0] / n_x / n_y;
  }
  NDLOSS_INLINE FoundDistance finish(const FeatureTerms<3>& sum, double reference, double factor) const {
    const double m_x = __builtin_sqrt(sum.term[1]);
    const double m_y = __builtin_sqrt(sum.term[2]);
    const double n_x = math::at_least(m_x, with.eps);
    const double n_y = math::at_least(m_y, with.eps);
    const double cosine = value(sum, reference);
    return {cosine, {factor / n_x / n_y, factor * cosine / n_x * inverse(m_x), factor * cosine / n_y * inverse(m_y)}};
  }
};

/// 1 - cosine similarity.
struct CosineDistance : Cosine {
  NDLOSS_INLINE double value(const FeatureTerms<3>& sum, double reference) const {
    return 1.0 - CosineSimilarity{{with}}.value(sum, reference);
  }
  NDLOSS_INLINE FoundDistance finish(const FeatureTerms<3>& sum, double reference, double factor) const {
    const FoundDistance found = CosineSimilarity{{with}}.finish(sum, reference, -factor);
    return {1.0 - found.value, {found.coefficient[0], found.coefficient[1], found.coefficient[2]}};
  }
};

/// The cosine of the embedding loss of features T: squared norms have 1e-12 added. A vector of zeros has cosine 0 and a huge
/// gradient.
template <class T>
struct EmbeddingCosine : Cosine {
  static constexpr double added = 1e-12F;  // torch: a float in both dtypes

  /// One root where the squared norms are of floats: their product does not overflow.
  NDLOSS_INLINE static double norms(double n_x, double n_y) {
    if constexpr (sizeof(T) == 4) {
      return __builtin_sqrt(n_x * n_y);
    } else {
      return __builtin_sqrt(n_x) * __builtin_sqrt(n_y);
    }
  }
  NDLOSS_INLINE double value(const FeatureTerms<3>& sum, double /*reference*/) const {
    return sum.term[0] / norms(sum.term[1] + added, sum.term[2] + added);
  }
  NDLOSS_INLINE FoundDistance finish(const FeatureTerms<3>& sum, double reference, double factor) const {
    const double n_x = sum.term[1] + added;
    const double n_y = sum.term[2] + added;
    const double cosine = value(sum, reference);
    return {cosine, {factor / norms(n_x, n_y), factor * cosine / n_x, factor * cosine / n_y}};
  }
};

}  // namespace ndloss
