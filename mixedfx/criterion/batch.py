"""The criterion of many responses of one design at once, where the design falls into small independent blocks.

The levels of one grouping factor are such blocks. Nested or crossed factors have them too: the connected components of
the levels, each with as many coefficients as the largest needs (those that a block lacks have a covariate of zero,
which changes nothing). Replicates are one more array axis: matrices have the shape (Q, Q, R, m), R replicates by m
blocks. The criterion is that of :mod:`~mixedfx.criterion.linear`, with its exact Hessian.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from mixedfx._typing import Array, IntArray
from mixedfx.covariance.base import Covariance
from mixedfx.covariance.linear import UnstructuredCovariance
from mixedfx.criterion.assembly import CovarianceModel, TermSlot
from mixedfx.linalg.gram import Rows
from mixedfx.linalg.layout import Layout
from mixedfx.linalg.small import multiply, resolvent_of
from mixedfx.optimize import Derivatives

__all__ = [
    "BatchCriterion",
    "BatchPoint",
    "BlockGram",
    "BlockMap",
    "ResponseGram",
    "block_map",
    "covariance_directions",
]


@dataclass(frozen=True)
class BlockGram:
    """Cross-products of ``[Z X]`` by block.

    Attributes
    ----------
    s : (Q, Q, u)
        ``Z_l' W Z_l`` of the distinct blocks.
    kind : (m,)
        Which distinct block every block is.
    counts : (u,)
        Number of blocks of each kind.
    zx : (Q, p, m)
        ``Z_l' W X_l``.
    xx : (p, p)
        ``X' W X``.
    """

    s: Array
    kind: IntArray
    counts: Array
    zx: Array
    xx: Array


@dataclass(frozen=True)
class BlockMap:
    """Where the levels of every factor are found among the coefficients of the blocks.

    Attributes
    ----------
    size, count : int
        Coefficients Q of a block, number m of blocks.
    block : tuple of (m_f,)
        Block of every level, by factor.
    position : tuple of (m_f,)
        Rank of every level among those of its factor in its block.
    width : tuple of int
        Levels that the largest block has of each factor.
    start : tuple of int
        First coefficient of each factor: its coefficient a of the level at rank j is ``start + a * width + j``.
    """

    size: int
    count: int
    block: tuple[IntArray, ...]
    position: tuple[IntArray, ...]
    width: tuple[int, ...]
    start: tuple[int, ...]

    def incidence(self, rows: Rows) -> sp.csr_array:
        """Return ``Z'`` (Q m, n), row ``coefficient * m + block``."""
        layout = rows.layout
        n = len(rows.columns)
        places, values = [], []
        for f, z in enumerate(rows.z):
            rank, block = self.position[f][layout.codes[f]], self.block[f][layout.codes[f]]
            for a, covariate in enumerate(z):
                places.append((self.start[f] + a * self.width[f] + rank) * self.count + block)
                values.append(covariate)
        entries = (np.concatenate(values), (np.concatenate(places), np.tile(np.arange(n), len(places))))
        return sp.csr_array(sp.coo_array(entries, shape=(self.size * self.count, n)))

    def gram(self, incidence: sp.csr_array, X: Array, weights: Array | None) -> BlockGram:
        """Return the cross-products of ``Z`` and ``X`` (n, p)."""
        weighted = incidence if weights is None else incidence * weights
        product = sp.coo_array(weighted @ incidence.T)
        row, column = product.coords
        s = np.zeros((self.size, self.size, self.count))
        s[row // self.count, column // self.count, row % self.count] = product.data
        kind, first = _kinds(s)
        zx = np.asarray(weighted @ X).reshape(self.size, self.count, -1).swapaxes(1, 2)
        right = X if weights is None else X * weights[:, None]
        counts = np.bincount(kind, minlength=first.size).astype(float)
        return BlockGram(s[:, :, first], kind, counts, np.ascontiguousarray(zx), X.T @ right)

    def factor_basis(self, model: CovarianceModel) -> Array:
        """Return ``B`` (k, Q, Q) with ``T = sum of theta_i B_i``, for covariances whose factor is linear in theta."""
        out = np.zeros((model.n_theta, self.size, self.size))
        for term in model.terms:
            derivative = term.covariance.derivative(term.covariance.start())
            for at in self._places(term):
                out[term.theta, at[:, None], at[None, :]] = derivative
        return out

    def covariance_basis(self, model: CovarianceModel) -> tuple[Array, list[slice]]:
        """Return directions (j, Q, Q) that span the covariances, and which of them belong to each term."""
        out: list[Array] = []
        spans = []
        for term in model.terms:
            directions = covariance_directions(term.covariance)
            spans.append(slice(len(out), len(out) + len(directions)))
            for direction in directions:
                whole = np.zeros((self.size, self.size))
                for at in self._places(term):
                    whole[at[:, None], at[None, :]] = direction
                out.append(whole)
        return np.array(out), spans

    def _places(self, term: TermSlot) -> IntArray:
        """Coefficients (width, q) of a term at every rank of its factor."""
        width = self.width[term.factor]
        coefficients = np.arange(term.coefficients.start, term.coefficients.stop)
        return self.start[term.factor] + coefficients * width + np.arange(width)[:, None]

    def term_gradient(self, gradient: Array, term: TermSlot) -> Array:
        """Return the derivative (R, q, q) with respect to one term's covariance, from that of the blocks' (R, Q, Q)."""
        at = self._places(term)
        return np.asarray(gradient[:, at[:, :, None], at[:, None, :]].sum(axis=1))


def covariance_directions(covariance: Covariance) -> list[Array]:
    """Symmetric matrices (q, q) that span the covariances of one term."""
    if isinstance(covariance, UnstructuredCovariance):
        units = np.eye(covariance.size)
        pairs = [(a, b) for a in range(covariance.size) for b in range(a + 1)]
        return [np.outer(units[a], units[b]) + (a != b) * np.outer(units[b], units[a]) for a, b in pairs]
    return [b @ b.T for b in covariance.derivative(covariance.start())]


def block_map(layout: Layout) -> BlockMap:
    """Find the blocks of a layout."""
    labels = _components(layout)
    count = int(max(of_factor.max() for of_factor in labels)) + 1
    ranks = [_ranks(of_factor, count) for of_factor in labels]
    width = [int(rank.max()) + 1 for rank in ranks]
    coefficients = [w * size for w, size in zip(width, layout.sizes, strict=True)]
    start = np.concatenate([[0], np.cumsum(coefficients)]).tolist()
    return BlockMap(start[-1], count, tuple(labels), tuple(ranks), tuple(width), tuple(start[:-1]))


def _components(layout: Layout) -> list[IntArray]:
    """Connected component of every level, by factor; the levels of a single factor in their own order."""
    from scipy.sparse.csgraph import connected_components  # which imports scipy.sparse.linalg

    if layout.n_factors == 1:
        return [np.arange(layout.levels[0])]
    offsets = np.concatenate([[0], np.cumsum(layout.levels)])
    first = np.tile(layout.codes[0], layout.n_factors - 1)
    others = np.concatenate([codes + start for codes, start in zip(layout.codes[1:], offsets[1:-1], strict=True)])
    graph = sp.coo_array((np.ones(first.size, dtype=bool), (first, others)), shape=(offsets[-1], offsets[-1]))
    _, labels = connected_components(graph, directed=False)
    return [labels[a:b].astype(np.intp) for a, b in pairwise(offsets)]


def _ranks(labels: IntArray, count: int) -> IntArray:
    """Rank of every entry among those of the same label."""
    order = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=count))])
    out = np.empty(labels.size, dtype=np.intp)
    out[order] = np.arange(labels.size) - starts[labels[order]]
    return out


def _kinds(s: Array) -> tuple[IntArray, IntArray]:
    """Return the kind (m,) of every block of ``s`` (Q, Q, m), and the first block of each kind."""
    flat = s.reshape(-1, s.shape[2])
    signature = np.random.default_rng(0).standard_normal(len(flat)) @ flat
    _, first, kind = np.unique(signature, return_index=True, return_inverse=True)
    if first.size < kind.size and np.array_equal(flat[:, first[kind]], flat):
        return kind, first
    return np.arange(s.shape[2]), np.arange(s.shape[2])


@dataclass(frozen=True)
class ResponseGram:
    """Cross-products with R responses: ``zy`` (Q, R, m), ``xy`` (R, p), ``yy`` (R,); known ``sigma2`` (R,) or None."""

    zy: Array
    xy: Array
    yy: Array
    sigma2: Array | None

    def take(self, which: IntArray) -> ResponseGram:
        """Return the responses number ``which``."""
        known = None if self.sigma2 is None else self.sigma2[which]
        return ResponseGram(self.zy[:, which], self.xy[which], self.yy[which], known)


@dataclass(frozen=True)
class BatchCriterion:
    """Minus twice the (restricted) log-likelihood of R responses, each at its own theta, without constants.

    Attributes
    ----------
    gram : BlockGram
    basis : (k, Q, Q)
        ``T = sum of theta_i basis_i``.
    responses : ResponseGram
    nu : int
        Divisor of the residual variance.
    reml : bool
    """

    gram: BlockGram
    basis: Array
    responses: ResponseGram
    nu: int
    reml: bool

    def at(self, theta: Array, which: IntArray) -> BatchPoint:
        """Evaluate the responses number ``which`` (r,) at ``theta`` (r, k)."""
        whole = which.size == self.responses.yy.size
        return BatchPoint(self, theta, self.responses if whole else self.responses.take(which))

    def __call__(self, theta: Array, which: IntArray) -> Derivatives:
        """Return values, gradients and Hessians, and as extras beta, sigma squared and the covariance gradient."""
        point = self.at(theta, which)
        extra = (point.beta, point.sigma2, point.covariance_gradient)
        return Derivatives(point.value, point.gradient, point.hessian, extra)

    @cached_property
    def basis_products(self) -> Array:
        """Symmetric parts of ``basis_i basis_j'`` (k, k, Q, Q)."""
        product = np.einsum("iac,jbc->ijab", self.basis, self.basis)
        return np.asarray(0.5 * (product + product.swapaxes(2, 3)))


@dataclass(frozen=True)
class BatchPoint:
    """The criterion of R responses at R places; each part is computed when asked for."""

    criterion: BatchCriterion
    theta: Array
    responses: ResponseGram

    @cached_property
    def _factor(self) -> Array:
        """``T`` (Q, Q, R)."""
        return np.tensordot(self.criterion.basis, self.theta, axes=(0, 1))

    @cached_property
    def _sigma(self) -> Array:
        """``Sigma = T T'`` (Q, Q, R)."""
        return multiply(self._factor, self._factor.swapaxes(0, 1))

    @cached_property
    def _resolved(self) -> tuple[Array, Array]:
        """``F = (I + S Sigma)^-1`` (Q, Q, R, u) of the distinct blocks, and ``log|V|`` (R,)."""
        gram = self.criterion.gram
        root = np.einsum("aar->ar", self._factor).prod(axis=0)
        resolvent, _, logdet = resolvent_of(gram.s[:, :, None], self._sigma[..., None], np.square(root)[:, None])
        return resolvent, logdet @ gram.counts

    @cached_property
    def _by_block(self) -> Array:
        """``F`` (Q, Q, R, m)."""
        return self._spread(self._resolved[0])

    def _spread(self, values: Array) -> Array:
        kind = self.criterion.gram.kind
        return values if values.shape[-1] == kind.size else np.take(values, kind, axis=-1)

    @cached_property
    def _zvx(self) -> Array:
        """``Z' V^-1 X`` (Q, p, R, m)."""
        return multiply(self._by_block, self.criterion.gram.zx[:, :, None])

    @cached_property
    def _zvy(self) -> Array:
        """``Z' V^-1 y`` (Q, R, m)."""
        return multiply(self._by_block, self.responses.zy[:, None])[:, 0]

    @cached_property
    def _root(self) -> Array:
        """Lower Cholesky factors of ``X' V^-1 X`` (R, p, p)."""
        gram = self.criterion.gram
        b = multiply(self._sigma[..., None], self._zvx)
        explained = np.tensordot(gram.zx, b, axes=((0, 2), (0, 3))).transpose(2, 0, 1)
        return np.asarray(np.linalg.cholesky(gram.xx - 0.5 * (explained + explained.swapaxes(1, 2))))

    @cached_property
    def _whitener(self) -> Array:
        """``L^-T`` (R, p, p) with ``L L' = X' V^-1 X``."""
        return np.asarray(np.linalg.inv(self._root).swapaxes(1, 2))

    @cached_property
    def _solved(self) -> tuple[Array, Array]:
        """``L^-1 X' V^-1 y`` (R, p) and ``r2`` (R,)."""
        b = multiply(self._sigma[..., None], self._zvy[:, None])[:, 0]
        xvy = self.responses.xy - np.tensordot(b, self.criterion.gram.zx, axes=((0, 2), (0, 2)))
        half = np.einsum("rqp,rq->rp", self._whitener, xvy)
        r2 = self.responses.yy - np.einsum("arm,arm->r", self.responses.zy, b) - np.einsum("rp,rp->r", half, half)
        return half, np.maximum(r2, np.finfo(float).tiny)

    @cached_property
    def beta(self) -> Array:
        """Generalised least-squares estimates (R, p)."""
        return np.asarray(np.einsum("rpq,rq->rp", self._whitener, self._solved[0]))

    @property
    def r2(self) -> Array:
        """Generalised residual sums of squares (R,)."""
        return self._solved[1]

    @cached_property
    def sigma2(self) -> Array:
        """Residual variances (R,): estimated, or the known ones."""
        known = self.responses.sigma2
        return self.r2 / self.criterion.nu if known is None else known

    @cached_property
    def value(self) -> Array:
        """Minus twice the log-likelihood (R,), but for a constant."""
        criterion = self.criterion
        total = self._resolved[1] + criterion.nu * np.log(2.0 * np.pi * self.sigma2) + self.r2 / self.sigma2
        if criterion.reml:
            total = total + 2.0 * np.log(np.einsum("rpp->rp", self._root)).sum(axis=1)
        return np.asarray(total)

    @cached_property
    def _columns(self) -> Array:
        """``Z' V^-1 X L^-T`` and ``Z' P y`` side by side (Q, p + 1, R, m)."""
        whitened = np.einsum("aprm,rpq->aqrm", self._zvx, self._whitener, optimize=True)
        s = self._zvy - np.einsum("aprm,rp->arm", whitened, self._solved[0])
        return np.concatenate([whitened, s[:, None]], axis=1)

    @cached_property
    def _information(self) -> Array:
        """``E = Z_l' V^-1 Z_l`` (Q, Q, R, u) of the distinct blocks."""
        return multiply(self._resolved[0], self.criterion.gram.s[:, :, None])

    @cached_property
    def covariance_gradient(self) -> Array:
        """``N`` (R, Q, Q): the derivative with respect to the relative covariance."""
        columns, weights = self._columns, np.ones((self.theta.shape[0], self._columns.shape[1]))
        weights[:, :-1] = 1.0 if self.criterion.reml else 0.0
        weights[:, -1] = 1.0 / self.sigma2
        out = (self._information @ self.criterion.gram.counts).transpose(2, 0, 1)
        out = out - np.einsum("aprm,bprm,rp->rab", columns, columns, weights, optimize=True)
        return np.asarray(0.5 * (out + out.swapaxes(1, 2)))

    @cached_property
    def _slopes(self) -> Array:
        """``dSigma / dtheta`` (k, Q, Q, R)."""
        half = np.einsum("kac,bcr->kabr", self.criterion.basis, self._factor)
        return np.asarray(half + half.swapaxes(1, 2))

    @cached_property
    def gradient(self) -> Array:
        """Exact gradients (R, k)."""
        return np.asarray(np.einsum("kabr,rab->rk", self._slopes, self.covariance_gradient))

    def _forms(self, slopes: Array) -> _Forms:
        """Traces and quadratic forms of ``V_i = Z D_i Z'`` for the directions ``slopes`` (j, Q, Q, R)."""
        moved = np.einsum("kabr,bprm->kaprm", slopes, self._columns)
        information = self._spread(self._information)
        resolved = np.einsum("abrm,kbprm->kaprm", information, moved)
        forms = np.einsum("aprm,kaqrm->rkpq", self._columns, moved, optimize=True)
        outer = np.einsum("iarm,jarm->rij", moved[:, :, -1], resolved[:, :, -1], optimize=True)
        outer = outer - np.einsum("rip,rjp->rij", forms[:, :, :-1, -1], forms[:, :, :-1, -1])
        blocks = np.stack([multiply(d[..., None], self._information) for d in slopes])
        trace = np.einsum("iabrm,jbarm,m->rij", blocks, blocks, self.criterion.gram.counts, optimize=True)
        fixed = np.einsum("ripq,rjqp->rij", forms[:, :, :-1, :-1], forms[:, :, :-1, :-1])
        fixed -= 2.0 * np.einsum("iaprm,japrm->rij", moved[:, :, :-1], resolved[:, :, :-1], optimize=True)
        return _Forms(outer, forms[:, :, -1, -1], trace, fixed, forms[:, :, :-1, :-1])

    @cached_property
    def _slope_forms(self) -> _Forms:
        return self._forms(self._slopes)

    @cached_property
    def hessian(self) -> Array:
        """Exact Hessians (R, k, k)."""
        criterion, forms, sigma2 = self.criterion, self._slope_forms, self.sigma2[:, None, None]
        out = 2.0 * forms.outer / sigma2 - (forms.trace + forms.fixed if criterion.reml else forms.trace)
        out += 2.0 * np.einsum("ijab,rab->rij", criterion.basis_products, self.covariance_gradient)
        if self.responses.sigma2 is None:
            out -= forms.response[:, :, None] * forms.response[:, None, :] / (criterion.nu * sigma2**2)
        return np.asarray(0.5 * (out + out.swapaxes(1, 2)))

    def contrast_variances(self, rows: Array) -> tuple[Array, Array, Array]:
        """Return what degrees of freedom need of ``rows @ beta``, for contrasts ``rows`` (c, p) on the inner scale.

        Returns
        -------
        variance : (R, c)
            Relative to sigma squared.
        slopes : (R, k, c)
            Its derivatives with respect to theta.
        response : (R, k)
            Minus the derivatives of the residual sum of squares ``r2``.
        """
        whitened, forms = rows @ self._whitener, self._slope_forms
        slopes = np.einsum("rcp,rkpq,rcq->rkc", whitened, forms.of_columns, whitened, optimize=True)
        return np.square(whitened).sum(axis=2), slopes, forms.response

    def contrast_covariances(self, rows: Array) -> tuple[Array, Array, Array]:
        """Return what joint tests need of ``rows @ beta``: as :meth:`contrast_variances`, with covariances.

        Returns
        -------
        covariance : (R, c, c)
            Relative to sigma squared.
        slopes : (R, k, c, c)
            Its derivatives with respect to theta.
        response : (R, k)
            Minus the derivatives of the residual sum of squares ``r2``.
        """
        whitened, forms = rows @ self._whitener, self._slope_forms
        slopes = np.einsum("rcp,rkpq,rdq->rkcd", whitened, forms.of_columns, whitened, optimize=True)
        return whitened @ whitened.swapaxes(1, 2), slopes, forms.response

    def scoring_step(self, directions: Array) -> Array:
        """Return the relative covariances ``c`` (R, j), ``Sigma = sum of c_j directions_j``, after one scoring step.

        Fisher scoring in ``(sigma^2, sigma^2 c)`` for REML, a linear model for ``E(y y')``: its step does not depend on
        how far the estimate is, and for balanced data it *is* the estimate if that is legal.

        Notes
        -----
        The rows of the information that belong to sigma squared follow from ``P V P = P``. Rao's MINQUE (1971,
        J. Multivar. Anal. 1, 257) is this step.
        """
        replicates, rank = len(self.theta), self.criterion.gram.xx.shape[0]
        flat = directions.reshape(len(directions), -1)
        now = np.linalg.lstsq(flat.T, self._sigma.reshape(flat.shape[1], -1), rcond=None)[0].T
        forms = self._forms(np.repeat(directions[..., None], replicates, axis=3))
        inner = forms.trace + forms.fixed
        n = self.criterion.nu - (0 if self.criterion.reml else rank)
        slopes = np.einsum("jab,rab->rj", directions, self._projected_information)
        edge = slopes - np.einsum("rj,rij->ri", now, inner)
        corner = n - np.einsum("rj,rj->r", now, slopes + edge)
        matrix = np.zeros((replicates, 1 + len(directions), 1 + len(directions)))
        matrix[:, 1:, 1:], matrix[:, 0, 1:], matrix[:, 1:, 0], matrix[:, 0, 0] = inner, edge, edge, corner
        side = np.column_stack([self.r2 - np.einsum("rj,rj->r", now, forms.response), forms.response])
        solution = np.einsum("rij,rj->ri", np.linalg.pinv(matrix, hermitian=True), side)
        sensible = solution[:, :1] > 0
        return np.where(sensible, np.divide(solution[:, 1:], solution[:, :1], where=sensible, out=now.copy()), now)

    @cached_property
    def _projected_information(self) -> Array:
        """``sum over l of Z_l' P Z_l`` (R, Q, Q)."""
        columns = self._columns[:, :-1]
        out = (self._information @ self.criterion.gram.counts).transpose(2, 0, 1)
        return np.asarray(out - np.einsum("aprm,bprm->rab", columns, columns, optimize=True))


@dataclass(frozen=True)
class _Forms:
    """For directions ``V_i``: ``w_i' P w_j`` with ``w_i = V_i P y`` (R, j, j), ``y' P V_i P y`` (R, j), and the traces.

    ``trace`` is ``tr(V^-1 V_i V^-1 V_j)``; with ``fixed`` added it is ``tr(P V_i P V_j)``. ``of_columns`` (R, j, p, p)
    is ``X' V^-1 V_i V^-1 X`` for the whitened columns ``X L^-T``.
    """

    outer: Array
    response: Array
    trace: Array
    fixed: Array
    of_columns: Array
