// Losses and distances of rows of vectors.
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "ndloss/vectors.hpp"

namespace ndloss::binding {
namespace {

/// An array of any strides that results go to.
WritableView writable(const py::object& object, Views& views) {
  const ArrayView* layout = views.add(object);
  if (layout == nullptr) {
    return {};
  }
  py::array array = py::reinterpret_borrow<py::array>(object);
  return {array.mutable_data(), *layout};
}

/// A call of one loss on some arrays, with everything it refers to.
class BoundVectors {
 public:
  BoundVectors(const std::string& kind, const std::string& family, double margin, double p, double eps, bool swap,
               const py::tuple& operands, const py::object& label, bool twice, int threads) {
    call_.kind = kind == "triplet"            ? VectorKind::triplet
                 : kind == "cosine_embedding" ? VectorKind::cosine_embedding
                                              : VectorKind::distance;
    call_.family = family == "cosine" ? DistanceFamily::cosine : DistanceFamily::p_norm;
    call_.margin = margin;
    call_.p = p;
    call_.eps = eps;
    call_.swap = swap;
    if (operands.size() != (call_.kind == VectorKind::triplet ? 3U : 2U)) {
      throw py::value_error("VectorCall: wrong number of operands");
    }
    for (std::size_t k = 0; k < operands.size(); ++k) {
      call_.operands[k] = views_.add(operands[k]);
    }
    call_.label = views_.add(label);
    call_.compute = twice ? DType::float64 : DType::float32;
    call_.threads = threads;
    call_.interrupt = signals();
  }
  BoundVectors(const BoundVectors&) = delete;
  BoundVectors& operator=(const BoundVectors&) = delete;

  /// The sum over rows [begin, end), added to `initial`.
  Accumulator accumulate(const Accumulator& initial, std::int64_t begin, std::int64_t end) const {
    VectorCall call = call_;
    call.initial = initial;
    call.begin = begin;
    call.end = end;
    return without_gil([&] { return ndloss::accumulate(call); });
  }

  /// The losses of rows [begin, end).
  void map(const py::object& out, std::int64_t begin, std::int64_t end) const {
    Views views;
    VectorCall call = call_;
    call.begin = begin;
    call.end = end;
    const Output output = output_of(out, views);
    without_gil([&] { ndloss::map(call, output); });
  }

  /// What a reduction multiplies the gradients by.
  double scale(const std::string& reduction) const {
    return gradient_scale(call_, reduction == "mean" ? Reduction::mean : Reduction::sum);
  }

  /// Gradients of rows [begin, end), and their sum added to `initial`. Those that `dense` names have a place for these rows
  /// alone, and so has an upstream gradient if `dense_upstream` says so.
  Accumulator gradients(double scale, const py::object& upstream, const py::tuple& grads, const py::object& value,
                        const std::vector<bool>& dense, const std::optional<Accumulator>& initial, std::int64_t begin,
                        std::int64_t end, bool dense_upstream, const py::object& mask) const {
    Views views;
    VectorCall call = call_;
    call.initial = initial.value_or(Accumulator());
    call.begin = begin;
    call.end = end;
    VectorGradients wanted;
    wanted.scale = scale;
    wanted.upstream = views.add(upstream);
    wanted.dense_upstream = dense_upstream;
    wanted.mask = views.add(mask);
    for (std::size_t k = 0; k < grads.size(); ++k) {
      wanted.grads[k] = writable(grads[k], views);
      wanted.grads[k].dense = k < dense.size() && dense[k];
    }
    wanted.value = output_of(value, views);
    return without_gil([&] { return ndloss::gradients(call, wanted); });
  }

 private:
  Views views_;
  VectorCall call_;
};

}  // namespace

void bind_vectors(py::module_& m) {
  py::class_<BoundVectors>(m, "VectorCall")
      .def(py::init<const std::string&, const std::string&, double, double, double, bool, const py::tuple&, const py::object&,
                    bool, int>(),
           py::arg("kind"), py::arg("family"), py::arg("margin"), py::arg("p"), py::arg("eps"), py::arg("swap"),
           py::arg("operands"), py::arg("label"), py::arg("twice"), py::arg("threads"))
      .def("accumulate", &BoundVectors::accumulate, py::arg("initial"), py::arg("begin") = 0, py::arg("end") = -1)
      .def("map", &BoundVectors::map, py::arg("out"), py::arg("begin") = 0, py::arg("end") = -1)
      .def("scale", &BoundVectors::scale, py::arg("reduction"))
      .def("gradients", &BoundVectors::gradients, py::arg("scale"), py::arg("upstream"), py::arg("grads"), py::arg("value"),
           py::arg("dense") = std::vector<bool>(), py::arg("initial") = py::none(), py::arg("begin") = 0, py::arg("end") = -1,
           py::arg("dense_upstream") = false, py::arg("mask") = py::none());
  m.def("vector_block", &vector_block, py::arg("features"));
  m.def(
      "weighted_sum",
      [](const py::tuple& weights, const py::tuple& parts, const py::object& out, std::int64_t begin) {
        Views views;
        std::vector<ArrayView> w;
        std::vector<ArrayView> p;
        for (std::size_t k = 0; k < parts.size(); ++k) {
          w.push_back(*views.add(weights[k]));
          p.push_back(*views.add(parts[k]));
        }
        const Output output = output_of(out);
        without_gil([&] { weighted_sum(w, p, output, begin); });
      },
      py::arg("weights"), py::arg("parts"), py::arg("out"), py::arg("begin") = 0);
}

}  // namespace ndloss::binding
